"""Free ports of 127.0.0.1."""

import contextlib
import itertools
import secrets
import socket
import sys
import time
from collections import deque

HOST = "127.0.0.1"
# A process that was killed a moment ago may still hold its port.
PORT_FREE_TIMEOUT = 3.0

_PORTS = range(20_000, 27_000)
"""Below the ports that Linux and macOS use for outgoing connections, so a free port stays free until it is used."""

_RESERVED = 64
_reservations: deque[socket.socket] = deque()
_walk = itertools.count(secrets.randbelow(len(_PORTS)))


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on; each process starts at a random port and never returns the same one."""
    for step in itertools.islice(_walk, len(_PORTS)):
        if is_free(port := _PORTS[step % len(_PORTS)]) and _reserve(port):
            return port
    raise OSError(f"No port of {_PORTS.start} to {_PORTS.stop - 1} is free on {HOST}.")


def _reserve(port: int) -> bool:
    """Keep other processes from choosing the port before it is used: one name of a socket can be bound only once.

    The last 64 ports of a process stay reserved until it ends.
    """
    if sys.platform != "linux":  # only Linux has names of sockets that need no file
        return True
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0catalog-exports-port-{port}")
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    if len(_reservations) > _RESERVED:
        _reservations.popleft().close()
    return True


def is_free(port: int, timeout: float = 0.0) -> bool:
    """Whether this port of 127.0.0.1 can be listened on; waits up to `timeout` seconds for that."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
