"""What goes wrong on an FTP connection, as `DestinationError`: by a table, since servers explain refusals in prose."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.egress import Forbidden, Unresolved
from services.delivery.destinations.kit.error_rules import Fault, Rule, egress_error, find_fault


class Refused(Exception):
    """The server refused a command."""

    def __init__(self, verb: str, code: str, text: str) -> None:
        super().__init__(f"{verb}: {code} {text}")
        self.verb = verb
        self.code = code
        self.text = text


class Garbled(Exception):
    """The server's answer is not FTP."""


class Unreachable(Exception):
    """The control connection could not be made."""


class NoDataConnection(Exception):
    """The data connection could not be made."""


_TLS_REUSE = Fault(
    "tls_session_reuse_required",
    "The server requires data connections to resume the TLS session of the control connection, and did not accept the "
    "session it was offered. Turn this off on the server (vsftpd: require_ssl_reuse=NO; ProFTPD: TLSOptions "
    "NoSessionReuseRequired), or use SFTP.",
)
_TLS_REQUIRED = Fault("tls_required", "The server requires TLS: set `tls` to explicit.")
_QUOTA = Fault(
    "quota_exceeded", "The user's quota is used up, or the server has no room: free some there.", transient=True
)
_NO_SPACE = Fault("no_space", "The server has no space left: free some there.", transient=True)
_CONNECTIONS = Fault("too_many_connections", "The server accepts no more connections.", transient=True)
_CREDENTIALS = Fault("wrong_credentials", "The login was refused: check `username` and `password`.")
_UNAVAILABLE = Fault("server_unavailable", "The server is shutting down or too busy.", transient=True)
_NO_DATA = Fault(
    "no_data_connection",
    "The server could not open the data connection: open its passive ports in its firewall.",
    transient=True,
)
_LOST = Fault("connection_lost", "The transfer was interrupted.", transient=True)
_BUSY = Fault("busy", "Another user is using the file on the server.", transient=True)
_SERVER_ERROR = Fault("server_error", "The server had an internal error.", transient=True)
_MAY_NOT_STORE = Fault("permission_denied", "The user is not allowed to store files.")
_NO_FILE = Fault("no_such_file", "The file does not exist.")
_MAY_NOT_READ = Fault(
    "permission_denied",
    "The server does not let the user read what was written: allow it, or set `verify` to size.",
)
_VANISHED = Fault("vanished", "The part (`.part`) was moved or removed by someone else.", transient=True)
_DENIED = Fault(
    "permission_denied",
    "The server denies it: give the user the right to write, read and rename in the folder `path`.",
)
_NO_FOLDER = Fault("no_such_folder", "The folder does not exist, or is a file: check `path`.")
_BAD_NAME = Fault("bad_name", "The server does not accept the name: choose another `file_name`.")
_CHANGED = Fault("vanished", "The part changed while it was sent.", transient=True)
_UNSUPPORTED = Fault("unsupported", "The server lacks a command that a safe delivery needs.")
_NOT_FTP = Fault("not_ftp", "The server's answer makes no sense here.", transient=True)
_UNKNOWN = Fault("refused", "The server refused for an unknown reason (permission, a missing folder, a name).")

_MISSING = "no such|not found|cannot find|can't find|not exist|doesn't exist"
# The first rule that matches counts.
RULES = (
    Rule(status="[45]..", text="(reus|resum).*session|session.*(reus|resum)", fault=_TLS_REUSE),
    Rule(
        status="4..|5[35].",
        text="(tls|ssl|encrypt|secur)[^.]*(requir|only|needed|must)|(requir|must)[^.]*(tls|ssl|encrypt)",
        fault=_TLS_REQUIRED,
    ),
    Rule(status="[45]..", text="quota", fault=_QUOTA),
    Rule(
        status="[45]..",
        text="no space|disk.*full|full.*disk|insufficient.*(space|storage)|out of space",
        fault=_NO_SPACE,
    ),
    Rule(status="552", fault=_QUOTA),
    Rule(status="452", fault=_NO_SPACE),
    Rule(status="421|[45]30", text="too many|maximum|limit", fault=_CONNECTIONS),
    Rule(status="[45]30|331|332|501", step=Step.AUTHENTICATE, fault=_CREDENTIALS),
    Rule(status="421", fault=_UNAVAILABLE),
    Rule(status="425", fault=_NO_DATA),
    Rule(status="426", fault=_LOST),
    Rule(status="450", fault=_BUSY),
    Rule(status="4..", fault=_SERVER_ERROR),
    Rule(status="532", fault=_MAY_NOT_STORE),
    Rule(status="55.", subject="RETR", text=_MISSING, fault=_NO_FILE),
    Rule(status="55.", subject="RETR", fault=_MAY_NOT_READ),
    Rule(status="550", subject="RNFR", text=_MISSING + "|failed", fault=_VANISHED),
    Rule(
        status="55.",
        text="permission|denied|not allowed|not permitted|forbidden|read.?only|privilege",
        fault=_DENIED,
    ),
    Rule(status="55.", text=_MISSING + "|not a directory", fault=_NO_FOLDER),
    Rule(status="553", text="name|invalid|illegal", fault=_BAD_NAME),
    Rule(status="554", fault=_CHANGED),
    Rule(status="50.", fault=_UNSUPPORTED),
    Rule(status="[13]..|2..", fault=_NOT_FTP),
    Rule(fault=_UNKNOWN),
)


@contextmanager
def translate_errors(step: Step) -> Iterator[None]:
    """Around calls to the server, never around the payload's source: failures as `DestinationError`."""
    try:
        yield
    except (Refused, Garbled, Unreachable, NoDataConnection, Forbidden, Unresolved, OSError) as exc:
        raise _error(step, exc) from exc


def is_missing(refused: Refused) -> bool:
    """Whether a server says in words that a file does not exist; rclone's does so with code 450, "file busy"."""
    return refused.code == "450" and re.search(_MISSING, refused.text, re.IGNORECASE) is not None


def no_tls(refused: Refused) -> DestinationError:
    """The server refused to start TLS."""
    text = (
        "The server offers no TLS on this port. Enable it there; or set `tls` to implicit if the port is meant for "
        "that, or to none if password and files may travel unencrypted. The server answered: "
        f"{refused.code} {refused.text}"
    )
    return DestinationError(Step.CONNECT, "tls_not_offered", text, transient=refused.code.startswith("4"))


def _error(step: Step, exc: Exception) -> DestinationError:
    match exc:
        case Refused():
            fault = find_fault(RULES, step, exc.code, exc.verb, exc.text)
            return fault.error(step, f"The server answered {exc.verb} with: {exc.code} {exc.text}")
        case Forbidden() | Unresolved():
            return egress_error(exc)
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
                "as `ca_certificate`, use the host name in the certificate, or set `verify_certificate` to false."
            )
            return DestinationError(step, "certificate_invalid", text, transient=False)
        case TimeoutError():
            hint = " If it expects implicit TLS (often port 990), set `tls` to that." if step is Step.CONNECT else ""
            return DestinationError(step, "stalled", f"The server did not answer in time.{hint}", transient=True)
        case ssl.SSLError() if step is Step.CONNECT and not isinstance(exc, ssl.SSLEOFError):
            text = (
                f"The TLS handshake failed ({exc.reason or exc}): TLS 1.2 or newer is needed, and `tls` must match the "
                "port (explicit: often 21, implicit: often 990)."
            )
            return DestinationError(step, "tls_failed", text, transient=False)
        case _:
            text = f"The connection was lost: {str(exc) or type(exc).__name__}"
            return DestinationError(step, "connection_lost", text, transient=True)
