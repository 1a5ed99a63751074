"""The caller that a key stands for: read from MongoDB, cached for two seconds so that revoking takes effect soon."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from services.gateway.auth.api_keys import ApiKey, Secret, parse
from services.gateway.auth.key_store import KeyStore
from services.gateway.errors import BadKey

CACHE_SECONDS = 2.0
MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    key: ApiKey
    until: float


class KeyCache:
    """Checks keys against their store; caches those that are valid."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def check(self, text: str) -> ApiKey:
        """The key with this text.

        Raises:
            BadKey: it is malformed, unknown, revoked or expired.
            Unavailable: MongoDB does not answer.
        """
        secret = _parse(text)
        entry = self._entries.get(secret.id)
        if entry is not None and entry.until > time.monotonic():
            return _validate(entry.key, secret)
        key = _validate(await self._store.get(secret.id), secret)
        self._entries[key.id] = _Entry(key, time.monotonic() + CACHE_SECONDS)
        self._entries.move_to_end(key.id)
        if len(self._entries) > MAX_CACHED:
            self._entries.popitem(last=False)
        return key


async def check_key(store: KeyStore, text: str) -> ApiKey:
    """The same without a cache."""
    secret = _parse(text)
    return _validate(await store.get(secret.id), secret)


def _parse(text: str) -> Secret:
    secret = parse(text)
    if secret is None:
        raise BadKey("invalid_key", "This is not an API key; keys look like cx_<id>_<secret>.")
    return secret


def _validate(key: ApiKey | None, secret: Secret) -> ApiKey:
    if key is None or not key.has_secret(secret.secret):
        raise BadKey("invalid_key", "There is no such API key.")
    if key.revoked_at is not None:
        raise BadKey("key_revoked", "This API key was revoked; use another one.")
    if key.is_expired(datetime.now(UTC)):
        raise BadKey("key_expired", "This API key has expired; use another one.")
    return key
