"""The first stop signal interrupts the program; later ones are ignored while it stops."""

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP raise KeyboardInterrupt.

    A second Ctrl-C would leave children running that are being stopped. Under nohup, SIGHUP stays ignored.
    """
    for number in STOP_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  signature of a signal handler
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
