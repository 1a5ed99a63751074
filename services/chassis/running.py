"""How much of something each owner (a tenant, an API key) is doing in this process, for limits of concurrency."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Running:
    """Counts by owner; owners without any take no memory."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def of(self, owner: str) -> int:
        """The count of one owner."""
        return self._counts[owner]

    def total(self) -> int:
        """The count of all owners."""
        return self._counts.total()

    @contextmanager
    def one_more(self, owner: str) -> Iterator[None]:
        """Count one until the end of the block."""
        self._counts[owner] += 1
        try:
            yield
        finally:
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]
