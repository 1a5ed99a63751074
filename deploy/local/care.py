"""Looks after children that may die: each is started again, after a delay that grows with every death."""

import time
from collections.abc import Callable

from deploy.local.children import Child, NotReady

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
# A child that ran this long is healthy: its next death is a new story.
STEADY_AFTER = 60.0


class Care:
    """One child, which runs when it is given into care; `tell` is told what happens to it."""

    def __init__(self, child: Child, tell: Callable[[str], None]) -> None:
        self.child = child
        self._tell = tell
        self._delay = FIRST_DELAY
        self._launch_at: float | None = None
        self._launched_at = time.monotonic()
        self._ready = True

    def tend(self) -> None:
        """Look after it once, without waiting."""
        self.child.trim_log()
        if self._launch_at is not None:
            self._relaunch(self._launch_at)
        elif self.child.pid is None:
            self._mourn(f"{self.child.name} {self.child.exit_status}:\n{self.child.tail()}")
        elif not self._ready and self.child.is_ready():
            self._ready = True
            self._tell(f"{self.child.name} is up again")

    def _mourn(self, why: str) -> None:
        if time.monotonic() - self._launched_at > STEADY_AFTER:
            self._delay = FIRST_DELAY
        self._ready, self._launch_at = False, time.monotonic() + self._delay
        self._tell(f"{why}\n{self.child.name} is started again in {self._delay:.1f} s")
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _relaunch(self, at: float) -> None:
        if time.monotonic() < at:
            return
        self._launch_at, self._launched_at = None, time.monotonic()
        try:
            self.child.launch()
        except NotReady as exc:
            self._mourn(str(exc))
