"""The time limits of an FTP connection, and the ways in which one fails before they are put in words for people."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: to connect; without a sign of life; for an answer that a server has to work for, such as a hash."""

    connect: float = 10.0
    silence: float = 30.0
    work: float = 120.0


class Refused(Exception):
    """The server said no."""

    def __init__(self, verb: str, code: str, text: str) -> None:
        super().__init__(f"{verb}: {code} {text}")
        self.verb = verb
        self.code = code
        self.text = text


class Garbled(Exception):
    """What the server said is not FTP."""


class Unreachable(Exception):
    """The control connection could not be made."""


class NoDataConnection(Exception):
    """The data connection could not be made."""
