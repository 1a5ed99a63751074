"""The preference to wait for a job (RFC 7240, `Prefer: wait=10`)."""

import re

from aiohttp import web

from services.gateway.http.route import Parameter

HEADER, APPLIED = "Prefer", "Preference-Applied"
MAX_WAIT = 60
WAIT_PARAMETER = Parameter(
    HEADER,
    f"`wait=10` waits up to 10 seconds, at most {MAX_WAIT}, for the end of the job before the response is sent.",
    where="header",
)
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)


def seconds_to_wait(request: web.Request) -> int:
    """The seconds that the client prefers to wait, at most 60; 0 without a valid preference, as the RFC demands."""
    for preference in ",".join(request.headers.getall(HEADER, ())).split(","):
        if found := _WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(found[1]), MAX_WAIT)
    return 0


def applied(seconds: int) -> dict[str, str]:
    """The header that says which preference was honoured."""
    return {APPLIED: f"wait={seconds}"} if seconds else {}
