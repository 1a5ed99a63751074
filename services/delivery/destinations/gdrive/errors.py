"""What Google's refusals mean, in the words of a delivery."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.delivery.destinations.contract import DestinationError, Step

OVERLOADED = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "backendError"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of one of Google's servers; `data` is its JSON object, empty when it was none."""

    status: int
    headers: Mapping[str, str]
    data: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """The first `reason` of an error, else the OAuth error, else nothing."""
        error = self.data.get("error")
        if isinstance(error, str):
            return error
        found = error.get("errors") if isinstance(error, Mapping) else None
        first = found[0] if isinstance(found, list) and found else None
        return str(first.get("reason", "")) if isinstance(first, Mapping) else ""

    @property
    def said(self) -> str:
        """The error in Google's words, cut."""
        error = self.data.get("error")
        text = error.get("message") if isinstance(error, Mapping) else self.data.get("error_description")
        return " ".join(str(text or "no reason").split())[:300]

    @property
    def overloaded(self) -> bool:
        """Whether the same request may do better in a moment."""
        return self.status == 429 or self.status >= 500 or (self.status == 403 and self.reason in OVERLOADED)

    @property
    def retry_after(self) -> float | None:
        """Seconds Google asks to wait."""
        text = self.headers.get("Retry-After", "")
        return float(text) if re.fullmatch(r"\d{1,6}", text) else None


@dataclass(frozen=True, slots=True)
class Rule:
    """How a refusal is read; patterns must fit status and reason entirely, `words` anywhere in what was said."""

    status: str
    reason: str
    code: str
    what: str
    transient: bool
    step: Step | None = None
    """The step it belongs to, whatever was being done."""
    words: str = ""

    def fits(self, answer: Answer) -> bool:
        """Whether the rule is about this answer."""
        return bool(
            re.fullmatch(self.status, str(answer.status))
            and re.fullmatch(self.reason, answer.reason)
            and re.search(self.words, answer.said, re.IGNORECASE)
        )


_LOGIN = Step.AUTHENTICATE
_LATER = "Google is busy or has a problem of its own."
# The first that fits counts.
TOKEN_RULES = (
    Rule("429|5..", ".*", "server_error", _LATER, True),
    Rule(
        "4..",
        "invalid_grant",
        "clock_wrong",
        "Google says the request for a token is not of now: set the clock of this machine.",
        False,
        words="iat|exp values|timeframe",
    ),
    Rule(
        "4..",
        "invalid_grant|invalid_client|unauthorized_client|deleted_client|invalid_request",
        "wrong_credentials",
        "Google does not accept the credentials. The key or the refresh token was revoked, has expired, or is of "
        "another account or client: make a new one and replace `credentials`.",
        False,
    ),
    Rule(".*", ".*", "refused", "Google gave no token.", False),
)
RULES = (
    Rule(
        "401", ".*", "wrong_credentials", "Google does not accept the token it gave: check the account.", False, _LOGIN
    ),
    Rule("403|429", "rateLimitExceeded|.*RateLimitExceeded", "rate_limited", "Too many requests at the moment.", True),
    Rule("403", "dailyLimitExceeded.*", "rate_limited", "The project's requests of this day are used up.", True),
    Rule("403", "storageQuotaExceeded|quotaExceeded", "quota_exceeded", "The storage is full: make room there.", True),
    Rule(
        "403",
        "teamDriveFileLimitExceeded|numChildrenInNonRootLimitExceeded|activeItemCreationLimitExceeded",
        "folder_full",
        "The folder, or its drive, holds as many files as Google allows: remove some, or use another `folder_id`.",
        False,
    ),
    Rule(
        "403",
        "accessNotConfigured|SERVICE_DISABLED",
        "api_not_enabled",
        "The Google Drive API is not enabled in the credentials' project: enable it in the Google Cloud console.",
        False,
        _LOGIN,
    ),
    Rule(
        "403",
        "insufficientPermissions|insufficientScopes",
        "insufficient_scope",
        "The refresh token does not allow enough: make one with the scope https://www.googleapis.com/auth/drive.",
        False,
        _LOGIN,
        words="scope",
    ),
    Rule(
        "403",
        ".*[pP]ermissions?|forbidden|cannotAddParent|teamDriveMembershipRequired|appNotAuthorizedToFile|domainPolicy"
        "|cannotModify.*|fileWriterTeamDrive.*",
        "permission_denied",
        "The account may not do this: let it edit the folder (on a shared drive: content manager).",
        False,
    ),
    Rule("404", ".*", "vanished", "Something that was there is gone: somebody removed it meanwhile.", True),
    Rule("408|429|5..", ".*", "server_error", _LATER, True),
    Rule(".*", ".*", "refused", "Google refused without a reason we know.", False),
)


def token_refused(answer: Answer) -> DestinationError:
    """No token."""
    rule = next(rule for rule in TOKEN_RULES if rule.fits(answer))
    text = f"{rule.what} Google said: {answer.status} {answer.reason} ({answer.said})"
    return DestinationError(_LOGIN, rule.code, text, transient=rule.transient)


def refused(step: Step, answer: Answer) -> DestinationError:
    """A call of the Drive API that was refused."""
    rule = next(rule for rule in RULES if rule.fits(answer))
    text = f"{rule.what} Google said: {answer.status} {answer.reason} ({answer.said})"
    return DestinationError(rule.step or step, rule.code, text, transient=rule.transient)


def no_such_folder(folder: str, email: str) -> DestinationError:
    """The account sees no folder of this id."""
    share = f"share it with {email} as editor" if email else "let the account that gave the refresh token edit it"
    text = f"There is no folder {folder!r} that the account can see: check `folder_id`, and {share}."
    return DestinationError(Step.WRITE, "no_such_folder", text, transient=False)


def without_quota(refusal: DestinationError) -> DestinationError:
    """A service account owns what it makes outside of shared drives, and has no room for it."""
    text = (
        "A service account has no storage of its own: use a shared drive and give its folder_id, or an OAuth refresh "
        f"token instead. {refusal.message.partition('Google said:')[2].strip()}"
    )
    return DestinationError(refusal.step, "service_account_without_quota", text, transient=False)
