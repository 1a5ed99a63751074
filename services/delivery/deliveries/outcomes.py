"""How attempts at deliveries are counted and traced."""

from typing import Self

from prometheus_client import Counter, Gauge, Histogram

from services.chassis.leasing.leases import Claim, LeaseMetrics
from services.chassis.telemetry import tracing
from services.delivery.deliveries.store import Lease

METRICS = LeaseMetrics(
    running=Gauge("delivery_running", "Deliveries in progress in this process."),
    claims=Counter("delivery_claims_total", "Claims of deliveries by kind: first, retry or takeover.", ["kind"]),
    lost=Counter("delivery_leases_lost_total", "Leases lost during an attempt: gone or unrenewed.", ["reason"]),
    attempts=Counter(
        "delivery_attempts_total", "Attempts that ended, by type of platform and outcome.", ["type", "outcome"]
    ),
    failures=Counter(
        "delivery_failures_total", "Deliveries that failed, by type of platform and code.", ["type", "code"]
    ),
)
BYTES = Counter("delivery_bytes_total", "Bytes delivered, by type of platform.", ["type"])
SECONDS = Histogram(
    "delivery_attempt_seconds",
    "Duration of attempts that sent the file.",
    ["type"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)


def claim_of(lease: Lease) -> Claim[Lease]:
    """The claim, with a span in the trace stored on the delivery."""
    delivery = lease.delivery
    return Claim(
        lease=lease,
        label=delivery.platform_type,
        attempt=delivery.attempt,
        max_attempts=delivery.max_attempts,
        is_takeover=delivery.is_takeover,
        span=f"deliver {delivery.platform_type}",
        traceparent=delivery.traceparent,
        attributes={
            "exports.job.id": delivery.job_id,
            "exports.delivery.id": delivery.id,
            "exports.tenant": delivery.tenant,
            "exports.platform.id": delivery.platform_id,
            "exports.platform.type": delivery.platform_type,
            "exports.attempt": delivery.attempt,
            "exports.fence": delivery.fence,
        },
    )


class UploadSpans:
    """Spans around sending a file: `upload` until the destination starts to verify, then `verify`.

    They do not become the current span, because a destination may report from another task.
    """

    def __enter__(self) -> Self:
        self._span, self._is_verifying = tracing.begin("upload"), False
        return self

    def verifying(self) -> None:
        """The destination has all bytes and checks them; may be called more than once."""
        if not self._is_verifying:
            self._span.end()
            self._span, self._is_verifying = tracing.begin("verify"), True

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if exc is not None:
            tracing.failed(tracing.code_of(exc), self._span)
        self._span.end()
