"""Leases on claimed work: what a store offers, what a worker does with a claim, and how attempts end.

`leased_work.py` runs work under a lease.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from services.chassis.faults import ErrorInfo
from services.chassis.telemetry import tracing
from services.chassis.telemetry.metrics import initialize_labels

ATTEMPTS_EXHAUSTED = ErrorInfo(
    "attempts_exhausted",
    "No attempt came to an end: the process crashed or was killed each time. See the service's log.",
)
INTERNAL_ERROR = ErrorInfo("internal_error", "The attempt failed unexpectedly. See the service's log.")

LeaseT = TypeVar("LeaseT")
ProgressT = TypeVar("ProgressT")
ResultT = TypeVar("ResultT")
LeaseIn = TypeVar("LeaseIn", contravariant=True)
ProgressIn = TypeVar("ProgressIn", contravariant=True)
ResultIn = TypeVar("ResultIn", contravariant=True)
ProgressOut = TypeVar("ProgressOut", covariant=True)


class Outcome(StrEnum):
    """How an attempt ended, as metrics, logs and spans show it."""

    COMPLETED = "completed"
    RETRIED = "retried"
    FAILED = "failed"
    FENCED = "fenced"
    """The lease was lost: the work was cancelled, or another process has claimed it."""
    GIVEN_BACK = "given_back"
    """The process shut down; the attempt does not count."""


class LeaseLost(Exception):
    """The lease is no longer held.

    Args:
        reason: `gone`: the work was cancelled or claimed by another process; `unrenewed`: every heartbeat failed for
            as long as the lease lasts.
    """

    def __init__(self, reason: str = "gone") -> None:
        super().__init__(reason)
        self.reason = reason


class LeaseStore(Protocol[LeaseIn, ProgressIn, ResultIn]):
    """Where leased work is stored. Every method returns False, and changes nothing, when the lease was lost."""

    def heartbeat(self, lease: LeaseIn, progress: ProgressIn, seconds: float, /) -> Awaitable[bool]:
        """Store the progress and extend the lease to `seconds` from now."""

    def complete(self, lease: LeaseIn, result: ResultIn, /) -> Awaitable[bool]:
        """Store the result and end the work."""

    def fail(self, lease: LeaseIn, error: ErrorInfo, /) -> Awaitable[bool]:
        """End the work with an error."""

    def wait_for_retry(self, lease: LeaseIn, error: ErrorInfo, delay: float, /) -> Awaitable[bool]:
        """Make the work due again in `delay` seconds."""

    def give_back(self, lease: LeaseIn, /) -> Awaitable[bool]:
        """Make the work due now, without counting the attempt."""


@dataclass(frozen=True, slots=True)
class Claim(Generic[LeaseT]):
    """Work that was just claimed.

    Args:
        label: the value of the metrics' label, such as the format of the file.
        attempt: from 1.
        is_takeover: the previous attempt's lease ran out.
        traceparent: the stored trace that the attempt's span belongs to.
    """

    lease: LeaseT
    label: str
    attempt: int
    max_attempts: int
    is_takeover: bool
    span: str
    traceparent: str
    attributes: Mapping[str, tracing.Attribute]
    span_kind: SpanKind = SpanKind.INTERNAL

    @property
    def kind(self) -> str:
        """`first`, `retry` or `takeover`."""
        return "takeover" if self.is_takeover else "first" if self.attempt == 1 else "retry"


class Work(Protocol[ProgressOut, ResultT]):
    """What a service does with one claim."""

    @property
    def progress(self) -> ProgressOut:
        """Read by every heartbeat."""

    async def run(self) -> ResultT:
        """Do the work. It is cancelled to stop it, and has `STOP_SECONDS` to end.

        Raises:
            AttemptError: the attempt failed.
            LeaseLost: the store refused a change.
        """

    def completed(self, result: ResultT, seconds: float) -> Mapping[str, tracing.Attribute]:
        """Count a stored result; returns what log and span should show of it."""

    async def discard(self, result: ResultT) -> None:
        """Remove a result that could not be stored because the lease was lost."""


@dataclass(frozen=True, slots=True)
class LeaseMetrics:
    """A service's metrics of its attempts.

    Labels, in this order: `claims` kind; `lost` reason; `attempts` label and outcome; `failures` label and code.
    """

    running: Gauge
    claims: Counter
    lost: Counter
    attempts: Counter
    failures: Counter

    def __post_init__(self) -> None:
        """Create the series whose label values are known."""
        initialize_labels(self.claims, "first", "retry", "takeover")
        initialize_labels(self.lost, "gone", "unrenewed")


def delay(attempt: int, *, first: float, longest: float, random: float) -> float:
    """Seconds to wait after attempt `attempt` (from 1): `first`, doubling up to `longest`.

    Args:
        random: 0 to 1, spreads the upper half of the delay, so that many retries do not come at the same time.
    """
    full = min(longest, first * 2.0 ** min(64, max(0, attempt - 1)))
    return full * (0.5 + random / 2)
