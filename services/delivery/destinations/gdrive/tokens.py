"""Access tokens: requested with a signed assertion or a refresh token, and kept while they are valid.

google-auth only signs: its own requests are synchronous and would not go through the egress rules.
"""

import asyncio
import time
from functools import partial

from google.auth import jwt

from services.delivery.destinations.contract import DestinationError, Step
from services.delivery.destinations.gdrive.credentials import AuthorizedUser, Credentials, ServiceAccount
from services.delivery.destinations.gdrive.errors import Answer, token_error
from services.delivery.destinations.gdrive.http import Http
from services.delivery.destinations.threads import in_key_thread

GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/drive"
"""All of Drive: a shared folder cannot be reached with a smaller scope."""
ASSERTION_SECONDS = 3600
EARLY_SECONDS = 120
"""How long before its expiry a token is replaced."""


class Tokens:
    """Tokens of one account.

    Args:
        url: of the server for tokens.
    """

    def __init__(self, http: Http, credentials: Credentials, url: str) -> None:
        self._http = http
        self._credentials = credentials
        self._url = url
        self._token = ""
        self._expires = 0.0
        self._lock = asyncio.Lock()

    async def get(self, step: Step = Step.AUTHENTICATE) -> str:
        """A token that is valid for at least `EARLY_SECONDS`.

        Args:
            step: the step to report if the connection fails.

        Raises:
            DestinationError: Google issued none.
        """
        async with self._lock:
            if time.monotonic() > self._expires:
                answer = await self._http.retry_overloaded(lambda: self._ask(step))
                if answer.status != 200 or not isinstance(answer.data.get("access_token"), str):
                    raise token_error(answer)
                self._keep(answer)
            return self._token

    def forget(self, token: str) -> None:
        """Do not use a token again that was refused."""
        if token == self._token:
            self._expires = 0.0

    def _keep(self, answer: Answer) -> None:
        self._token = answer.data["access_token"]
        seconds = answer.data.get("expires_in")
        lasts = seconds if isinstance(seconds, int) else ASSERTION_SECONDS
        self._expires = time.monotonic() + max(lasts - EARLY_SECONDS, 0)

    async def _ask(self, step: Step) -> Answer:
        form = await in_key_thread(partial(_request, self._credentials))
        return await self._http.ask(step, "POST", self._url, data=form)


def _request(credentials: Credentials) -> dict[str, str]:
    """The form of a token request: RFC 7523 §2.1 for a service account, RFC 6749 §6 for a person."""
    match credentials:
        case ServiceAccount():
            return {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": _assertion(credentials),
            }
        case AuthorizedUser():
            return {
                "grant_type": "refresh_token",
                "client_id": credentials.client_id,
                "client_secret": credentials.client_secret,
                "refresh_token": credentials.refresh_token,
            }


def _assertion(account: ServiceAccount) -> str:
    """A signed assertion, valid for an hour and only for Google."""
    try:
        signer = account.signer()
    except ValueError as exc:
        text = "private_key of the credentials cannot be read; send the credentials again."
        raise DestinationError(Step.AUTHENTICATE, "bad_private_key", text, transient=False) from exc
    now = int(time.time())
    claims = {
        "iss": account.email,
        "scope": SCOPE,
        "aud": GOOGLE_TOKENS,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    return bytes(jwt.encode(signer, claims)).decode()  # type: ignore[no-untyped-call]  # google-auth has no types here
