"""What the world sees of attempts at jobs: the metrics they are counted in, and the span of each."""

from contextlib import AbstractContextManager

from opentelemetry.trace import Span, SpanKind
from prometheus_client import Counter, Gauge, Histogram

from services.chassis import jetstream
from services.chassis.telemetry import metrics, tracing
from services.exporter.jobs.dispatch import EXPORTS
from services.exporter.jobs.job import Job

RUNNING = Gauge("exporter_jobs_running", "Jobs this worker works on now.")
CLAIMS = Counter("exporter_claims_total", "Jobs claimed: first, again, or as takeover from a silent worker.", ["kind"])
LOST = Counter("exporter_leases_lost_total", "Leases that ended before their attempt: gone, or unrenewed.", ["reason"])
ENDED = Counter("exporter_attempts_total", "Attempts that ended, by format and outcome.", ["format", "outcome"])
FAILURES = Counter("exporter_failures_total", "Jobs that ended as failed, by format and code.", ["format", "code"])
SECONDS = Histogram(
    "exporter_attempt_seconds",
    "Duration of attempts that made a file.",
    ["format"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)

metrics.initialize_labels(CLAIMS, "first", "again", "takeover")
metrics.initialize_labels(LOST, "gone", "unrenewed")


def claimed(job: Job) -> AbstractContextManager[Span]:
    """To be called at the claim; the span is to be around the attempt.

    It is in the trace of the request, which is stored on the job: the wake-up may have been lost.
    """
    CLAIMS.labels("takeover" if job.taken_over else "first" if job.attempt == 1 else "again").inc()
    attributes: dict[str, tracing.Attribute] = {
        **jetstream.span_attributes("process", EXPORTS.subjects),
        "exports.job.id": job.id,
        "exports.tenant": job.tenant,
        "exports.format": job.format,
        "exports.attempt": job.attempt,
        "exports.fence": job.fence,
    }
    parent = tracing.from_text(job.traceparent)
    return tracing.span(f"export {job.format}", kind=SpanKind.CONSUMER, parent=parent, attributes=attributes)


def ended(job: Job, outcome: str, **found: int) -> None:
    """To be called within the span: how the attempt ended, and how many rows and bytes it made."""
    ENDED.labels(job.format, outcome).inc()
    tracing.note({"exports.outcome": outcome, **{f"exports.{name}": value for name, value in found.items()}})
