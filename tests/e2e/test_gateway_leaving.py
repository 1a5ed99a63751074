"""A gateway that is told to stop says so before it refuses requests."""

import contextlib
import http.client
import signal
import urllib.error

from tests.gateways import Gateway, gateway
from tests.system import System, eventually

PATHS = ("/readyz", "/healthz")


def answers(front: Gateway) -> tuple[int, ...]:
    """The statuses of ready and alive; none when nobody listens any more."""
    with contextlib.suppress(urllib.error.URLError, OSError, http.client.HTTPException):
        return tuple(front.client("").call("GET", front.url + path).status for path in PATHS)
    return ()


def test_for_its_notice_it_is_not_ready_and_serves(system: System) -> None:
    with gateway(system, "leaving", SHUTDOWN_NOTICE="5") as front:
        eventually("it is ready", lambda: answers(front) == (200, 200))
        front.process.send(signal.SIGTERM)
        eventually("it is not ready and serves", lambda: answers(front) == (503, 200), within=4)
        eventually("it listens no more", lambda: answers(front) == ())
