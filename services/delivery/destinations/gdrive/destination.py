"""The destination `gdrive`: a folder of a person's drive or of a shared drive."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema, field_validator
from yarl import URL

from services.delivery.destinations.contract import DestinationConfig, DestinationError, InvalidField, Notes, Step
from services.delivery.destinations.egress import Egress
from services.delivery.destinations.gdrive import credentials as accounts
from services.delivery.destinations.gdrive.api import DriveApi
from services.delivery.destinations.gdrive.http import DriveTimeouts, connected
from services.delivery.destinations.gdrive.session import DriveSession
from services.delivery.destinations.gdrive.tokens import GOOGLE_TOKENS, Tokens
from services.delivery.destinations.gdrive.upload import GRAIN, PART

MAX_CREDENTIALS = 20_000
"""In characters; a service account's file has about 2,400."""


def _text(value: object) -> object:
    """The credentials as text, given as text or as an object."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    text = json.dumps(value) if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ValueError("must be a JSON object, or its text")  # noqa: TRY004  pydantic reports only ValueError
    if len(text) > MAX_CREDENTIALS:
        raise ValueError(f"has more than {MAX_CREDENTIALS:,} characters")
    accounts.parse(text)
    return text


_CREDENTIALS_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "object"}, {"type": "string", "format": "password"}],
    "writeOnly": True,
}


class DriveConfig(DestinationConfig):
    """A folder of Google Drive, of a person or a shared drive."""

    # `secrets_go_to` is empty: the credentials only go to Google, see `google`.

    model_config = ConfigDict(hide_input_in_errors=True)

    credentials: Annotated[SecretStr, BeforeValidator(_text), WithJsonSchema(_CREDENTIALS_SCHEMA)] = Field(
        description="JSON file of a service account, as object or text; or an object with type authorized_user, "
        "client_id, client_secret and refresh_token."
    )
    folder_id: str = Field(
        min_length=1,
        max_length=300,
        description="Id of the folder, or its URL in the browser; it must be shared with the account.",
    )

    def prepared(self) -> Self:
        """The same, after the private key was read, which takes 0.1 s of CPU time."""
        try:
            accounts.check(self.credentials.get_secret_value())
        except ValueError as exc:
            raise InvalidField("credentials", str(exc)) from exc
        return self

    @field_validator("folder_id")
    @classmethod
    def _id(cls, text: str) -> str:
        address = re.fullmatch(r"https://drive\.google\.com/[^?#]*/folders/([\w-]+)/?(?:[?#].*)?", text, re.ASCII)
        found = address[1] if address else text
        if not re.fullmatch(r"[\w-]+", found, re.ASCII):
            raise ValueError("is not the id of a folder: the id is the last part of its URL in the browser")
        return found


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Google's servers: the URL for tokens, and scheme and host of the API."""

    tokens: str
    api: str


GOOGLE = Endpoints(GOOGLE_TOKENS, "https://www.googleapis.com")


def google(credentials: accounts.Credentials) -> Endpoints:  # noqa: ARG001
    """Google's own servers. A `token_uri` in the credentials is not followed, as it could lead anywhere."""
    return GOOGLE


class GoogleDrive:
    """The type `gdrive`.

    Args:
        endpoints: the servers for some credentials; anything but `google` is for tests.
        part: bytes of a part, a multiple of 256 KiB.
    """

    name: ClassVar[str] = "gdrive"
    Config: ClassVar[type[DestinationConfig]] = DriveConfig

    def __init__(
        self,
        endpoints: Callable[[accounts.Credentials], Endpoints] = google,
        timeouts: DriveTimeouts | None = None,
        part: int = PART,
    ) -> None:
        if part <= 0 or part % GRAIN:
            raise ValueError(f"a part must be a multiple of {GRAIN} bytes")
        self._endpoints = endpoints
        self._timeouts = timeouts or DriveTimeouts()
        self._part = part

    def address(self, config: Any) -> tuple[str, int]:
        """The server for tokens."""
        url = URL(self._endpoints(_credentials(config)).tokens)
        return url.host or "", url.port or 443

    @asynccontextmanager
    async def open(self, config: DriveConfig, egress: Egress, pins: Notes) -> AsyncIterator[DriveSession]:  # noqa: ARG002
        """Get a token. Nothing is pinned: Google's certificates are verified."""
        credentials = _credentials(config)
        endpoints = self._endpoints(credentials)
        async with connected(egress, self._timeouts) as http:
            tokens = Tokens(http, credentials, endpoints.tokens)
            await tokens.get(Step.CONNECT)
            api = DriveApi(http, tokens, credentials, config.folder_id, endpoints.api)
            yield DriveSession(api, self._part)


def _credentials(config: DriveConfig) -> accounts.Credentials:
    try:
        return accounts.parse(config.credentials.get_secret_value())
    except ValueError as exc:
        raise DestinationError(Step.AUTHENTICATE, "bad_credentials", f"credentials {exc}", transient=False) from exc


DESTINATION = GoogleDrive()
