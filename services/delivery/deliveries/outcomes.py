"""What the world sees of attempts at deliveries: the metrics they are counted in, and their spans."""

from contextlib import AbstractContextManager
from typing import Self

from opentelemetry.trace import Span
from prometheus_client import Counter, Gauge, Histogram

from services.chassis.telemetry import metrics, tracing
from services.delivery.deliveries.delivery import Delivery
from services.delivery.deliveries.store import INTERRUPTED

RUNNING = Gauge("delivery_running", "Deliveries this process makes now.")
CLAIMS = Counter(
    "delivery_claims_total", "Deliveries claimed: first, again, or as takeover from a silent process.", ["kind"]
)
ENDED = Counter("delivery_attempts_total", "Attempts that ended, by type of platform and outcome.", ["type", "outcome"])
FAILURES = Counter("delivery_failures_total", "Deliveries that failed, by type of platform and code.", ["type", "code"])
BYTES = Counter("delivery_bytes_total", "Bytes delivered, by type of platform.", ["type"])
SECONDS = Histogram(
    "delivery_attempt_seconds",
    "Duration of attempts that delivered.",
    ["type"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)

metrics.initialize_labels(CLAIMS, "first", "again", "takeover")


def claimed(delivery: Delivery) -> AbstractContextManager[Span]:
    """To be called at the claim; the span is to be around the attempt, in the trace that the delivery carries."""
    CLAIMS.labels(_kind(delivery)).inc()
    attributes: dict[str, tracing.Attribute] = {
        "exports.job.id": delivery.job_id,
        "exports.delivery.id": delivery.id,
        "exports.tenant": delivery.tenant,
        "exports.platform.id": delivery.platform_id,
        "exports.platform.type": delivery.platform_type,
        "exports.attempt": delivery.attempt,
        "exports.fence": delivery.fence,
    }
    parent = tracing.from_text(delivery.traceparent)
    return tracing.span(f"deliver {delivery.platform_type}", parent=parent, attributes=attributes)


def ended(delivery: Delivery, outcome: str) -> None:
    """To be called within the span: how the attempt ended."""
    ENDED.labels(delivery.platform_type, outcome).inc()
    tracing.note({"exports.outcome": outcome})


def _kind(delivery: Delivery) -> str:
    past = delivery.attempts[-1].error if delivery.attempts else None
    if past == INTERRUPTED:
        return "takeover"
    return "first" if delivery.attempt == 1 else "again"


class Upload:
    """Spans of sending a file, as a context: `upload` until the destination says that it verifies, then `verify`.

    They do not become current ones, for a destination may say so in another task.
    """

    def __enter__(self) -> Self:
        self._span, self._is_verifying = tracing.begin("upload"), False
        return self

    def verifying(self) -> None:
        """All bytes are there and are checked; may be said more than once."""
        if not self._is_verifying:
            self._span.end()
            self._span, self._is_verifying = tracing.begin("verify"), True

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if exc is not None:
            tracing.failed(tracing.code_of(exc), self._span)
        self._span.end()
