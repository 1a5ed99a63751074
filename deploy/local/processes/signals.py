"""The first stop signal interrupts the program; later ones are ignored while it stops."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_arrived = threading.Event()
_deferred = threading.Event()


def interruptible() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP raise KeyboardInterrupt.

    A second Ctrl-C would leave children running that are being stopped. Under nohup, SIGHUP stays ignored.
    """
    for number in STOP_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def raise_if_stopped() -> None:
    """Raise KeyboardInterrupt if a stop signal has arrived; to be called by loops that wait.

    Python discards an exception that a signal handler raises inside a callback, such as a destructor.
    """
    if _arrived.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Hold a stop signal back until the end of the block, for steps that must not be torn apart."""
    _deferred.set()
    try:
        yield
    finally:
        _deferred.clear()
    raise_if_stopped()


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  signature of a signal handler
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    _arrived.set()
    if not _deferred.is_set():
        raise KeyboardInterrupt
