"""Turns what a server or the egress rules refuse into a `DestinationError`, by tables instead of code."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import Forbidden, Unencrypted, Unresolved, refusal

log = structlog.get_logger()

_SOCKET_ADDRESS = re.compile(r"\s*\('[0-9a-fA-F.:%\w]+', \d+(?:, \d+)*\)")
MAX_QUOTE = 300
"""Characters of a server's text that a message repeats."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure.

    Args:
        advice: what happened and what to do, as sentences.
        report_as: the step it belongs to, whatever was being done; None: the step that failed.
    """

    code: str
    advice: str
    transient: bool = False
    report_as: Step | None = None

    def error(self, step: Step, quote: str = "") -> DestinationError:
        """The error; `quote` is a sentence that repeats what the server said."""
        message = f"{self.advice} {quote}".strip()
        return DestinationError(self.report_as or step, self.code, message, transient=self.transient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which refusals are which fault. Patterns: `status` and `subject` match the whole, `text` matches anywhere.

    Args:
        status: the reply code or HTTP status.
        subject: what the server names beside it (Drive's reason), or what was asked (FTP's command).
        text: in what the server said, ignoring case.
        step: the step that failed; None: any.
    """

    fault: Fault
    status: str = ".*"
    subject: str = ".*"
    text: str = ""
    step: Step | None = None

    def matches(self, step: Step, status: str, subject: str, text: str) -> bool:
        """Whether the rule is about this refusal."""
        return bool(
            self.step in (None, step)
            and re.fullmatch(self.status, status)
            and re.fullmatch(self.subject, subject)
            and re.search(self.text, text, re.IGNORECASE)
        )


def find_fault(rules: Iterable[Rule], step: Step, status: str, subject: str, text: str) -> Fault:
    """The fault of the first rule that matches; the last rule has to match everything."""
    return next(rule.fault for rule in rules if rule.matches(step, status, subject, text))


def find_egress_error(exc: BaseException) -> DestinationError | None:
    """The error if the egress rules, or the lookup of the name, ended a connection; None if something else did."""
    cause = refusal(exc)
    return None if cause is None else egress_error(cause)


def egress_error(cause: Forbidden | Unresolved) -> DestinationError:
    """The error of a connection that the egress rules, or the lookup of the name, ended."""
    match cause:
        case Unencrypted():
            return DestinationError(Step.CONNECT, "unencrypted", str(cause), transient=False)
        case Forbidden():
            return DestinationError(Step.RESOLVE, "egress_forbidden", str(cause), transient=False)
    return DestinationError(Step.RESOLVE, "unresolved", str(cause), transient=True)


def printable(text: str, secret: str | None = None) -> str:
    """A text as one line of at most `MAX_QUOTE` characters, without control characters, `secret` and socket addresses.

    asyncio adds the address to its errors. It may be internal, so it is only written to the log.
    """
    masked = text.replace(secret, "********") if secret else text
    if addresses := _SOCKET_ADDRESS.findall(masked):
        log.info("connect_failed", action="connect", addresses=addresses)
        masked = _SOCKET_ADDRESS.sub("", masked)
    return " ".join("".join(c if c.isprintable() else " " for c in masked).split())[:MAX_QUOTE]
