"""The first stop signal interrupts the program; later ones are ignored while it stops."""

import signal
import threading
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_arrived = threading.Event()


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


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  signature of a signal handler
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    _arrived.set()
    raise KeyboardInterrupt
