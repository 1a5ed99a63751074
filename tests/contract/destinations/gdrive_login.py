"""Google's token endpoint for the tests: signed assertions of service accounts, refresh tokens of people."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt

from services.delivery.destinations.gdrive.credentials import AuthorizedUser
from tests.contract.destinations.gdrive_store import Account

AUDIENCE = "https://oauth2.googleapis.com/token"
LONGEST = 3600


class NoToken(Exception):
    """An error of the token endpoint (RFC 6749 §5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


@dataclass(frozen=True)
class Key:
    """A key pair as PEM."""

    private: str
    public: str


def new_key() -> Key:
    """A key pair like Google's."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(private.decode(), public.decode())


class Logins:
    """Known accounts and issued tokens. `lifetime` is the reported lifetime of a token."""

    def __init__(self) -> None:
        self.service_keys: dict[str, str] = {}
        self.people: dict[str, AuthorizedUser] = {}
        self.lifetime = 3599
        self.given = 0
        self._tokens: dict[str, Account] = {}

    def account(self, token: str) -> Account | None:
        """The account of a token."""
        return self._tokens.get(token)

    def forget_tokens(self) -> None:
        """Revoke all tokens."""
        self._tokens.clear()

    def grant(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """A token.

        Raises:
            NoToken.
        """
        match form.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                account = Account(self._issuer(str(form.get("assertion", ""))), is_service=True)
            case "refresh_token":
                account = Account(self._person(form), is_service=False)
            case _:
                raise NoToken(400, "unsupported_grant_type", "Invalid grant_type")
        token = "ya29." + secrets.token_urlsafe(32)
        self._tokens[token] = account
        self.given += 1
        return {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}

    def _issuer(self, assertion: str) -> str:
        try:
            claims = jwt.decode(assertion, verify=False)  # type: ignore[no-untyped-call]  # google-auth has no types
        except ValueError as exc:
            raise NoToken(400, "invalid_grant", "Invalid JWT.") from exc
        key = self.service_keys.get(claims.get("iss"))
        if key is None:
            raise NoToken(400, "invalid_grant", "Invalid grant: account not found")
        if claims.get("aud") != AUDIENCE:
            raise NoToken(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        if not claims.get("scope"):
            raise NoToken(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        now, begins, ends = time.time(), int(claims.get("iat", 0)), int(claims.get("exp", 0))
        if not (begins - 300 <= now <= ends and ends - begins <= LONGEST):
            text = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
            raise NoToken(400, "invalid_grant", text + "Check your iat and exp values in the JWT claim.")
        try:
            jwt.decode(assertion, certs=key)  # type: ignore[no-untyped-call]  # google-auth has no types
        except (ValueError, exceptions.GoogleAuthError) as exc:
            raise NoToken(400, "invalid_grant", "Invalid JWT Signature.") from exc
        return str(claims["iss"])

    def _person(self, form: Mapping[str, Any]) -> str:
        for email, person in self.people.items():
            if form.get("client_id") == person.client_id:
                if form.get("client_secret") != person.client_secret:
                    raise NoToken(401, "invalid_client", "The provided client secret is invalid.")
                if form.get("refresh_token") != person.refresh_token:
                    raise NoToken(400, "invalid_grant", "Token has been expired or revoked.")
                return email
        raise NoToken(401, "invalid_client", "The OAuth client was not found.")
