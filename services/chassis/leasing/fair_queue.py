"""Start-time fair queueing: who is served next when several clients wait for the same slots.

Each client has a finish tag, the virtual time at which the work it has been given so far would be done. Whoever has the
smallest start tag is served first, so a client that asks rarely never waits behind another one's backlog, and a slot is
never left free while somebody waits. Source: Goyal, Vin, Cheng, "Start-Time Fair Queueing", SIGCOMM 1996. Pure.
"""

from collections.abc import Iterable


class FairQueue:
    """Orders clients by their start tags.

    The state is small: a client whose finish tag has been passed is forgotten, because it starts at the current virtual
    time like a new one.
    """

    def __init__(self) -> None:
        self._virtual_time = 0.0
        self._finish: dict[str, float] = {}

    def order(self, waiting: Iterable[str]) -> list[str]:
        """The waiting clients, the one to serve next first; ties go to the one named first."""
        return sorted(waiting, key=self._start)

    def serve(self, client: str, cost: float) -> None:
        """Record that `client` was given work.

        Args:
            cost: how much work, in any unit that is the same for all clients; must be positive.
        """
        start = self._start(client)
        self._virtual_time = start
        self._finish[client] = start + cost
        self._finish = {name: tag for name, tag in self._finish.items() if tag > start}

    def adjust(self, client: str, cost: float) -> None:
        """Add to the cost given to `serve` once the real cost is known; negative if the work was smaller."""
        self._finish[client] = self._start(client) + cost

    def _start(self, client: str) -> float:
        return max(self._virtual_time, self._finish.get(client, 0.0))
