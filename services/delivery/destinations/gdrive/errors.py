"""What Google's refusals mean, as `DestinationError`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.kit.error_rules import Fault, Rule, find_fault, printable

_QUOTE = "Google said:"
OVERLOADED = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "backendError"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of one of Google's servers; `data` is its JSON object, empty if it is not one."""

    status: int
    headers: Mapping[str, str]
    data: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """The first `reason` of an error, else the OAuth error, else empty."""
        error = self.data.get("error")
        if isinstance(error, str):
            return error
        found = error.get("errors") if isinstance(error, Mapping) else None
        first = found[0] if isinstance(found, list) and found else None
        return str(first.get("reason", "")) if isinstance(first, Mapping) else ""

    @property
    def message(self) -> str:
        """Google's text of the error, shortened."""
        error = self.data.get("error")
        text = error.get("message") if isinstance(error, Mapping) else self.data.get("error_description")
        return printable(str(text or "no reason"))

    @property
    def overloaded(self) -> bool:
        """Whether the same request may succeed in a moment."""
        return self.status == 429 or self.status >= 500 or (self.status == 403 and self.reason in OVERLOADED)

    @property
    def retry_after(self) -> float | None:
        """Seconds that Google asks to wait."""
        text = self.headers.get("Retry-After", "")
        return float(text) if re.fullmatch(r"\d{1,6}", text) else None


_LOGIN = Step.AUTHENTICATE
_SERVER_ERROR = Fault("server_error", "Google is busy or had an internal error.", transient=True)
_TOKEN_REFUSED = Fault(
    "wrong_credentials",
    "Google does not accept the credentials. The key or the refresh token was revoked, has expired, or belongs to "
    "another account or client: create a new one and replace `credentials`.",
)
_CLOCK = Fault("clock_wrong", "Google considers the token request outdated: set the clock of this machine.")
_NO_TOKEN = Fault("refused", "Google issued no token.")
_BAD_TOKEN = Fault(
    "wrong_credentials", "Google does not accept the token that it issued: check the account.", report_as=_LOGIN
)
_RATE = Fault("rate_limited", "Google received too many requests.", transient=True)
_DAY = Fault("rate_limited", "The project's requests for this day are used up.", transient=True)
_QUOTA = Fault("quota_exceeded", "The storage is full: free some there.", transient=True)
_FOLDER_FULL = Fault(
    "folder_full",
    "The folder, or its drive, holds as many files as Google allows: remove some, or use another `folder_id`.",
)
_NOT_ENABLED = Fault(
    "api_not_enabled",
    "The Google Drive API is not enabled in the credentials' project: enable it in the Google Cloud console.",
    report_as=_LOGIN,
)
_SCOPE = Fault(
    "insufficient_scope",
    "The refresh token does not allow enough: create one with the scope https://www.googleapis.com/auth/drive.",
    report_as=_LOGIN,
)
_DENIED = Fault(
    "permission_denied",
    "The account is not allowed to do this: let it edit the folder (on a shared drive: content manager).",
)
_VANISHED = Fault("vanished", "The file or folder disappeared during the delivery; was it removed?", transient=True)
_UNKNOWN = Fault("refused", "Google refused for an unknown reason.")

# Of each table the first rule that matches counts.
TOKEN_RULES = (
    Rule(status="429|5..", fault=_SERVER_ERROR),
    Rule(status="4..", subject="invalid_grant", text="iat|exp values|timeframe", fault=_CLOCK),
    Rule(
        status="4..",
        subject="invalid_grant|invalid_client|unauthorized_client|deleted_client|invalid_request",
        fault=_TOKEN_REFUSED,
    ),
    Rule(fault=_NO_TOKEN),
)
RULES = (
    Rule(status="401", fault=_BAD_TOKEN),
    Rule(status="403|429", subject="rateLimitExceeded|.*RateLimitExceeded", fault=_RATE),
    Rule(status="403", subject="dailyLimitExceeded.*", fault=_DAY),
    Rule(status="403", subject="storageQuotaExceeded|quotaExceeded", fault=_QUOTA),
    Rule(
        status="403",
        subject="teamDriveFileLimitExceeded|numChildrenInNonRootLimitExceeded|activeItemCreationLimitExceeded",
        fault=_FOLDER_FULL,
    ),
    Rule(status="403", subject="accessNotConfigured|SERVICE_DISABLED", fault=_NOT_ENABLED),
    Rule(status="403", subject="insufficientPermissions|insufficientScopes", text="scope", fault=_SCOPE),
    Rule(
        status="403",
        subject=".*[pP]ermissions?|forbidden|cannotAddParent|teamDriveMembershipRequired|appNotAuthorizedToFile"
        "|domainPolicy|cannotModify.*|fileWriterTeamDrive.*",
        fault=_DENIED,
    ),
    Rule(status="404", fault=_VANISHED),
    Rule(status="408|429|5..", fault=_SERVER_ERROR),
    Rule(fault=_UNKNOWN),
)


def token_error(answer: Answer) -> DestinationError:
    """The server for tokens refused."""
    return _error(TOKEN_RULES, _LOGIN, answer)


def refused(step: Step, answer: Answer) -> DestinationError:
    """The Drive API refused a call."""
    return _error(RULES, step, answer)


def _error(rules: Iterable[Rule], step: Step, answer: Answer) -> DestinationError:
    fault = find_fault(rules, step, str(answer.status), answer.reason, answer.message)
    return fault.error(step, f"{_QUOTE} {answer.status} {answer.reason} ({answer.message})")


def no_such_folder(folder: str, email: str) -> DestinationError:
    """The folder does not exist for the account."""
    share = f"share it with {email} as editor" if email else "let the account of the refresh token edit it"
    text = f"There is no folder {folder!r} that the account can see: check `folder_id`, and {share}."
    return DestinationError(Step.WRITE, "no_such_folder", text, transient=False)


def without_quota(refusal: DestinationError) -> DestinationError:
    """A service account owns what it creates outside of shared drives, and has no storage for it."""
    text = (
        "A service account has no storage of its own: use a shared drive and give its folder_id, or an OAuth refresh "
        f"token instead. {refusal.message.partition(_QUOTE)[2].strip()}"
    )
    return DestinationError(refusal.step, "service_account_without_quota", text, transient=False)
