"""What goes wrong on an FTP connection, in the words of a delivery: a table, because servers say much in prose only."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import Forbidden, Unresolved
from services.delivery.destinations.ftp.words import Garbled, NoDataConnection, Refused, Unreachable


@dataclass(frozen=True, slots=True)
class Rule:
    """How a refusal is read: reply codes, words, and what was asked, as patterns, at one step or at any."""

    codes: str
    words: str
    code: str
    what: str
    transient: bool
    step: Step | None = None
    verbs: str = ".*"

    def fits(self, refused: Refused, step: Step) -> bool:
        """Whether the rule is about this refusal."""
        said = re.search(self.words, refused.text, re.IGNORECASE)
        asked = re.fullmatch(self.codes, refused.code) and re.fullmatch(self.verbs, refused.verb)
        return bool(asked and said and self.step in (None, step))


_LOGIN = Step.AUTHENTICATE
_MISSING = "no such|not found|cannot find|can't find|not exist|doesn't exist"
# The first that fits counts.
RULES = (
    Rule(
        "[45]..",
        "(reus|resum).*session|session.*(reus|resum)",
        "tls_session_reuse_required",
        "The server demands that data connections resume the TLS session of the control connection, and did not "
        "accept the one it was offered. Turn the demand off there (vsftpd: require_ssl_reuse=NO; ProFTPD: TLSOptions "
        "NoSessionReuseRequired), or use SFTP.",
        False,
    ),
    Rule(
        "4..|5[35].",
        "(tls|ssl|encrypt|secur)[^.]*(requir|only|needed|must)|(requir|must)[^.]*(tls|ssl|encrypt)",
        "tls_required",
        "The server wants TLS: set `tls` to explicit.",
        False,
    ),
    Rule("[45]..", "quota", "quota_exceeded", "The user's quota is used up: make room there.", True),
    Rule(
        "[45]..",
        "no space|disk.*full|full.*disk|insufficient.*(space|storage)|out of space",
        "no_space",
        "The server has no space left: make room there.",
        True,
    ),
    Rule("552", "", "quota_exceeded", "The server has no room for the file, or the quota is used up.", True),
    Rule("452", "", "no_space", "The server has no space left: make room there.", True),
    Rule("421|[45]30", "too many|maximum|limit", "too_many_connections", "The server takes no more connections.", True),
    Rule(
        "[45]30|331|332|501",
        "",
        "wrong_credentials",
        "The login was refused: check `username` and `password`.",
        False,
        _LOGIN,
    ),
    Rule("421", "", "server_unavailable", "The server is closing or too busy.", True),
    Rule(
        "425",
        "",
        "no_data_connection",
        "The server could not open the data connection: check its passive ports in its firewall.",
        True,
    ),
    Rule("426", "", "connection_lost", "The transfer was broken off.", True),
    Rule("450", "", "busy", "Somebody else is using the file there.", True),
    Rule("4..", "", "server_error", "The server had a problem of its own.", True),
    Rule("532", "", "permission_denied", "The user may not store files there.", False),
    Rule("55.", _MISSING, "no_such_file", "The file is not there.", False, verbs="RETR"),
    Rule(
        "55.",
        "",
        "permission_denied",
        "The server does not let the user read what was written: allow it, or set `verify` to size.",
        False,
        verbs="RETR",
    ),
    Rule("550", _MISSING + "|failed", "vanished", "Something moved the part (`.part`) away.", True, verbs="RNFR"),
    Rule(
        "55.",
        "permission|denied|not allowed|not permitted|forbidden|read.?only|privilege",
        "permission_denied",
        "The server denies it: give the user the right to write, read and rename in the folder `path`.",
        False,
    ),
    Rule(
        "55.",
        _MISSING + "|not a directory",
        "no_such_folder",
        "The folder is not there, or is a file: check `path`.",
        False,
    ),
    Rule(
        "553",
        "name|invalid|illegal",
        "bad_name",
        "The server does not take the name: choose another `file_name`.",
        False,
    ),
    Rule("554", "", "vanished", "The part changed while it was sent.", True),
    Rule("50.", "", "unsupported", "The server cannot do what a safe delivery needs.", False),
    Rule("[13]..|2..", "", "not_ftp", "The server's answer makes no sense here.", True),
    Rule(
        "...",
        "",
        "refused",
        "The server refused without a reason we know (permission, a missing folder, a name).",
        False,
    ),
)


@contextmanager
def told(step: Step) -> Iterator[None]:
    """Around dealings with the server, never around the payload's source: failures as `DestinationError`."""
    try:
        yield
    except Refused as exc:
        raise refusal(step, exc) from exc
    except (Garbled, Unreachable, NoDataConnection, Forbidden, Unresolved, OSError) as exc:
        raise _failure(step, exc) from exc


def refusal(step: Step, refused: Refused) -> DestinationError:
    """What a server's no means."""
    rule = next((rule for rule in RULES if rule.fits(refused, step)), RULES[-1])
    said = f"The server said to {refused.verb}: {refused.code} {refused.text}"
    return DestinationError(step, rule.code, f"{rule.what} {said}", transient=rule.transient)


def no_tls(refused: Refused) -> DestinationError:
    """The server refused to begin TLS."""
    text = (
        "The server offers no TLS on this port. Turn it on there; or set `tls` to implicit if the port is for that, or "
        f"to none if password and files may travel readable. The server said: {refused.code} {refused.text}"
    )
    return DestinationError(Step.CONNECT, "tls_not_offered", text, transient=refused.code.startswith("4"))


def _failure(step: Step, exc: Exception) -> DestinationError:
    match exc:
        case Forbidden():
            return DestinationError(Step.RESOLVE, "egress_forbidden", str(exc), transient=False)
        case Unresolved():
            return DestinationError(Step.RESOLVE, "unresolved", str(exc), transient=True)
        case Unreachable():
            text = f"No connection to the server: {exc}. Check `host`, `port`, and firewalls."
            return DestinationError(step, "unreachable", text, transient=True)
        case NoDataConnection():
            text = f"No data connection ({exc}): open the server's passive ports in its firewall."
            return DestinationError(step, "no_data_connection", text, transient=True)
        case Garbled():
            text = f"The server does not speak FTP: check `host` and `port`. {exc}"
            return DestinationError(step, "not_ftp", text, transient=step is not Step.CONNECT)
        case _:
            return _broken(step, exc)


def _broken(step: Step, exc: Exception) -> DestinationError:
    match exc:
        case ssl.SSLCertVerificationError():
            text = (
                f"The server's certificate is not trusted: {exc.verify_message or exc}. Give its issuer's certificate "
                "as `ca_certificate`, use the host name that it is made for, or set `verify_certificate` to false."
            )
            return DestinationError(step, "certificate_invalid", text, transient=False)
        case TimeoutError():
            hint = " If it expects TLS at once (often port 990), set `tls` to implicit." if step is Step.CONNECT else ""
            return DestinationError(step, "stalled", f"The server did not answer in time.{hint}", transient=True)
        case ssl.SSLError() if step is Step.CONNECT and not isinstance(exc, ssl.SSLEOFError):
            text = (
                f"TLS could not be agreed on ({exc.reason or exc}): TLS 1.2 or newer is needed, and `tls` must fit the "
                "port (explicit: often 21, implicit: often 990)."
            )
            return DestinationError(step, "tls_failed", text, transient=False)
        case _:
            return DestinationError(
                step, "connection_lost", f"The connection was lost: {str(exc) or type(exc).__name__}", transient=True
            )
