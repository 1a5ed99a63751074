"""A signal to stop, once: it interrupts what runs, and those that follow do not disturb the stopping."""

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible() -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, the first of them only.

    An impatient second Ctrl-C would leave children behind that are being stopped. Under nohup SIGHUP stays ignored.
    """
    for number in STOP_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  what the signal module calls
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
