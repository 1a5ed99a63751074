"""How attempts at jobs are counted and traced."""

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge, Histogram

from services.chassis import jetstream
from services.chassis.leasing.leases import Claim, LeaseMetrics
from services.exporter.jobs.dispatch import WAKE_UPS
from services.exporter.jobs.store import Lease

METRICS = LeaseMetrics(
    running=Gauge("exporter_jobs_running", "Jobs this worker is running."),
    claims=Counter("exporter_claims_total", "Claims of jobs by kind: first, retry or takeover.", ["kind"]),
    lost=Counter("exporter_leases_lost_total", "Leases lost during an attempt: gone or unrenewed.", ["reason"]),
    attempts=Counter("exporter_attempts_total", "Attempts that ended, by format and outcome.", ["format", "outcome"]),
    failures=Counter("exporter_failures_total", "Jobs that failed, by format and code.", ["format", "code"]),
)
SECONDS = Histogram(
    "exporter_attempt_seconds",
    "Duration of attempts that completed.",
    ["format"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)


def claim_of(lease: Lease) -> Claim[Lease]:
    """The claim, with a span in the trace stored on the job: the wake-up may have been lost."""
    job = lease.job
    return Claim(
        lease=lease,
        label=job.format,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        is_takeover=job.taken_over,
        span=f"export {job.format}",
        span_kind=SpanKind.CONSUMER,
        traceparent=job.traceparent,
        attributes={
            **jetstream.span_attributes("process", WAKE_UPS),
            "exports.job.id": job.id,
            "exports.tenant": job.tenant,
            "exports.format": job.format,
            "exports.attempt": job.attempt,
            "exports.fence": job.fence,
        },
    )
