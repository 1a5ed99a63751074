"""A gateway that shuts down reports not ready before it stops listening."""

import contextlib
import http.client
import signal
import urllib.error

from tests.gateways import Gateway, gateway
from tests.system import System, eventually

PATHS = ("/readyz", "/healthz")


def answers(front: Gateway) -> tuple[int, ...]:
    """The statuses of /readyz and /healthz; empty when nothing is listening."""
    with contextlib.suppress(urllib.error.URLError, OSError, http.client.HTTPException):
        return tuple(front.client("").call("GET", front.url + path).status for path in PATHS)
    return ()


def test_during_the_shutdown_notice_it_is_not_ready_but_serves(system: System) -> None:
    with gateway(system, "leaving", SHUTDOWN_NOTICE="5") as front:
        eventually("it is ready", lambda: answers(front) == (200, 200))
        front.process.send(signal.SIGTERM)
        eventually("it is not ready but serves", lambda: answers(front) == (503, 200), within=4)
        eventually("it does not listen", lambda: answers(front) == ())
