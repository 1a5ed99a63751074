"""Tells Kubernetes which worker to stop when there are too many: an idle one, or the one that loses least work.

Kubernetes stops the pods of a Deployment in the order of their annotation
`controller.kubernetes.io/pod-deletion-cost` (KEP-2255), and asks to change it rarely. So the cost is rounded to powers
of two, rises at most every `PAUSE` seconds, and falls only after it was lower for `QUIET` seconds.
"""

import time
from collections.abc import Callable

import structlog

from services.chassis.faults import Unavailable
from services.chassis.kubernetes import OwnPod

log = structlog.get_logger()

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
LOOK_EVERY = 1.0
PAUSE = 5.0
QUIET = 30.0
RETRY = 60.0
"""After a failure: exports do not depend on it, and missing rights do not come back by themselves."""
MAX_COST = 2**30
"""The annotation is a 32-bit integer; this is a power of two that fits."""


class DeletionCost:
    """Keeps the annotation of this worker's pod up to date.

    Args:
        work: seconds of work that would be lost if the process stopped now; 0: none.
        clock: monotonic seconds.
    """

    def __init__(self, pod: OwnPod, work: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._pod = pod
        self._work = work
        self._clock = clock
        self._shown: int | None = None
        """None: unknown. The container before this one may have left anything."""
        self._not_before = float("-inf")
        self._last_as_high = float("-inf")
        """When the cost was last as high as it is shown."""

    async def look(self) -> None:
        """Change the annotation if it is time to."""
        now, cost = self._clock(), cost_of(self._work())
        if self._shown is not None and cost >= self._shown:
            self._last_as_high = now
        is_lower = self._shown is not None and cost < self._shown
        if cost == self._shown or now < self._not_before or (is_lower and now - self._last_as_high < QUIET):
            return
        self._not_before = now + PAUSE
        try:
            await self._pod.annotate(ANNOTATION, str(cost))
        except Unavailable as exc:
            self._not_before = now + RETRY
            log.warning("deletion_cost_not_set", action="deletion_cost", reason=exc.message)
        else:
            self._shown, self._last_as_high = cost, now


def cost_of(seconds: float) -> int:
    """The cost for this many seconds of work: rounded down to a power of two, but at least 1; 0 without work."""
    return min(MAX_COST, 1 << max(0, int(seconds).bit_length() - 1)) if seconds > 0 else 0
