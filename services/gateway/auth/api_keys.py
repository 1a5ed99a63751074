"""An API key, `cx_<id>_<secret>`: stored as the SHA-256 of its secret, with a tenant, scopes and an expiry. Pure."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

SCOPES = (
    "audit:read",
    "exports:read",
    "exports:write",
    "platforms:read",
    "platforms:write",
    "schedules:read",
    "schedules:write",
    "webhooks:read",
    "webhooks:write",
)
ALL = "*"
_KEY = re.compile(r"cx_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored; the secret itself is not."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[str]
    sha256: str
    """Of the secret, lower-case hex."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def allows(self, scope: str) -> bool:
        """Whether calls that need this scope are allowed; an empty scope needs none."""
        return not scope or ALL in self.scopes or scope in self.scopes

    def has_secret(self, secret: str) -> bool:
        """Whether this is the key's secret, compared in constant time."""
        return hmac.compare_digest(digest(secret), self.sha256)

    def is_expired(self, now: datetime) -> bool:
        """Whether it has expired."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Secret:
    """A key as its holder knows it."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"cx_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Secret(id={self.id!r})"


def new_secret() -> Secret:
    """A new key: an id and 256 random bits."""
    return Secret(secrets.token_hex(6), secrets.token_urlsafe(32))


def parse(text: str) -> Secret | None:
    """The parts of a key; None if the text is not a key."""
    found = _KEY.fullmatch(text)
    return Secret(found[1], found[2]) if found else None


def digest(secret: str) -> str:
    """What is stored of a secret. A slow hash would add nothing to 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_scopes(text: str) -> frozenset[str]:
    """Scopes from a comma-separated list.

    Raises:
        ValueError: a scope is unknown, or there is none; the message lists all scopes.
    """
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names - {*SCOPES, ALL})
    if unknown or not names:
        problem = f"unknown scope {', '.join(unknown)}" if unknown else "no scope is given"
        raise ValueError(f"{problem}; the scopes are {', '.join(SCOPES)}, and * for all")
    return names
