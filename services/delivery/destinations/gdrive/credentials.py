"""The two kinds of credentials that Google issues as JSON; mistakes are reported without repeating a secret."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from google.auth import crypt

_KEY_FILE = "paste the whole JSON file that Google gave you"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account, which signs its token requests with a private key."""

    email: str
    private_key: str
    key_id: str
    token_uri: str

    def signer(self) -> crypt.RSASigner:
        """The signer.

        Raises:
            ValueError: the key cannot be read.
        """
        signer = crypt.RSASigner.from_string(self.private_key, self.key_id or None)  # type: ignore[no-untyped-call]  # google-auth has no types here
        return cast("crypt.RSASigner", signer)


@dataclass(frozen=True, slots=True)
class AuthorizedUser:
    """A person who authorized an OAuth client."""

    client_id: str
    client_secret: str
    refresh_token: str
    token_uri: str


Credentials = ServiceAccount | AuthorizedUser


def check(text: str) -> None:
    """Raises ValueError if the credentials are not valid; takes 0.1 s of CPU time for a key."""
    account = parse(text)
    if isinstance(account, ServiceAccount):
        try:
            account.signer()
        except (ValueError, TypeError):
            raise ValueError(f"private_key is not an RSA key in PEM form: {_KEY_FILE}, unchanged") from None


def parse(text: str) -> Credentials:
    """Credentials from their JSON text; `check` also reads the key.

    Raises:
        ValueError: what is wrong, without any value.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON: {_KEY_FILE}") from None
    return _of(found) if isinstance(found, dict) else _of({})


def _of(found: Mapping[str, Any]) -> Credentials:
    match found.get("type"):
        case "service_account":
            email, key = _words(found, "client_email", "private_key")
            return ServiceAccount(email, key, _word(found, "private_key_id"), _word(found, "token_uri"))
        case "authorized_user":
            client_id, client_secret, token = _words(found, "client_id", "client_secret", "refresh_token")
            return AuthorizedUser(client_id, client_secret, token, _word(found, "token_uri"))
    if "installed" in found or "web" in found:
        raise ValueError(
            "is only an OAuth client; required is an object with type authorized_user, client_id, client_secret and "
            "refresh_token"
        )
    raise ValueError("type must be service_account or authorized_user")


def _words(found: Mapping[str, Any], *names: str) -> list[str]:
    missing = [name for name in names if not _word(found, name).strip()]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)} (as text)")
    return [_word(found, name) for name in names]


def _word(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
