"""The tests of platforms or webhooks that run in this process, and how many a tenant may run concurrently."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.running import Running
from services.delivery.errors import TooManyTests

MAX_TESTS = 4
"""Tests of one tenant that a process runs concurrently, for platforms and for webhooks each."""


class RunningTests:
    """Counts each tenant's tests: while a server does not answer, a test keeps sockets open for many seconds."""

    def __init__(self) -> None:
        self._running = Running()

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """Count a test until the end of the block.

        Raises:
            TooManyTests: the tenant runs `MAX_TESTS` already.
        """
        if self._running.of(tenant) >= MAX_TESTS:
            raise TooManyTests(MAX_TESTS)
        with self._running.one_more(tenant):
            yield
