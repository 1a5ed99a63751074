"""Restarts children that end, after a delay that doubles with each restart."""

import time
from collections.abc import Callable

from deploy.local.processes.children import Child, NotReady

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
# A child that ran this long was healthy, so the delay starts from the beginning.
HEALTHY_AFTER = 60.0


class Supervisor:
    """Supervises one running child; `report` receives a message for each event."""

    def __init__(self, child: Child, report: Callable[[str], None]) -> None:
        self.child = child
        self._report = report
        self._delay = FIRST_DELAY
        self._restart_at: float | None = None
        self._launched_at = time.monotonic()
        self._ready = True

    def check(self) -> None:
        """Restart the child if it has ended and its delay is over; does not wait."""
        self.child.trim_log()
        if self._restart_at is not None:
            self._restart(self._restart_at)
        elif self.child.pid is None:
            self._on_exit(f"{self.child.name} {self.child.exit_status}:\n{self.child.tail()}")
        elif not self._ready and self.child.is_ready():
            self._ready = True
            self._report(f"{self.child.name} is ready again")

    def _on_exit(self, reason: str) -> None:
        if time.monotonic() - self._launched_at > HEALTHY_AFTER:
            self._delay = FIRST_DELAY
        self._ready, self._restart_at = False, time.monotonic() + self._delay
        self._report(f"{reason}\nrestarting {self.child.name} in {self._delay:.1f} s")
        self._delay = min(self._delay * 2, MAX_DELAY)

    def _restart(self, at: float) -> None:
        if time.monotonic() < at:
            return
        self._restart_at, self._launched_at = None, time.monotonic()
        try:
            self.child.launch()
        except NotReady as exc:
            self._on_exit(str(exc))
