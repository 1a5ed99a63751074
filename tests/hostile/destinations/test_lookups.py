"""Name servers that never answer occupy threads of their own, not those that read files."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from services.delivery.destinations import egress
from services.delivery.destinations.egress import Egress, Rules, Unresolved
from services.delivery.destinations.threads import DaemonThreads

DEADLINE = 60.0


async def test_lookups_that_never_return_do_not_stop_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    lookups = threading.Semaphore(0)

    def hang(*_: Any, **__: Any) -> Any:
        lookups.release()
        released.wait()
        raise socket.gaierror("released")

    threads = DaemonThreads(3, "lookup")
    monkeypatch.setattr(egress, "_lookup_threads", lambda: threads)
    monkeypatch.setattr(egress, "RESOLVE_SECONDS", 1.0)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    rules = Egress(Rules())
    waiting = [asyncio.create_task(rules.addresses(f"{n}.attacker.example", 22)) for n in range(40)]
    try:
        async with asyncio.timeout(DEADLINE):  # the lookups hang until they are released
            assert await asyncio.to_thread(lambda: "read") == "read"
        for ended in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(ended, Unresolved)
        assert sum(lookups.acquire(blocking=False) for _ in range(40)) == 3, "the others were dropped"
    finally:
        released.set()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("1.1.1.1", 22))])
    assert await rules.addresses("files.example.com", 22) == ["1.1.1.1"]
