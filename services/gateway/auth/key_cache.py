"""API keys by id: read from MongoDB, cached for two seconds so that revoking takes effect soon.

A client that invents keys must not cost a read each: ids that do not exist are cached too, and an address that has
sent too many of them is rejected before the next read. Keys that exist are not affected, once they are cached.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from services.gateway.auth.api_keys import ApiKey, Secret, parse
from services.gateway.auth.key_store import KeyStore
from services.gateway.auth.rate import RateLimiter
from services.gateway.errors import BadKey, TooManyAttempts

CACHE_SECONDS = 2.0
UNKNOWN_CACHE_SECONDS = 30.0
MAX_CACHED = 10_000
"""Keys that exist, and as many ids that do not."""


@dataclass(frozen=True, slots=True)
class _Entry:
    key: ApiKey | None
    until: float


class KeyCache:
    """Checks keys against their store.

    Args:
        attempts: how many ids that are not cached an address may send; those that exist do not count.
    """

    def __init__(self, store: KeyStore, attempts: RateLimiter) -> None:
        self._store = store
        self._attempts = attempts
        self._existing: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry] = OrderedDict()

    async def check(self, text: str, address: str) -> ApiKey:
        """The key with this text, sent from this address.

        Raises:
            BadKey: it is malformed, unknown, revoked or expired.
            TooManyAttempts: the address has sent too many unknown keys.
            Unavailable: MongoDB does not answer.
        """
        secret = _parse(text)
        return _validate(await self._get(secret.id, address), secret)

    async def check_link(self, key_id: str) -> None:
        """Raise BadKey if the key that a link was made with is revoked, expired or deleted."""
        key = await self._get(key_id)
        if key is None or key.revoked_at is not None:
            raise BadKey("key_revoked", "The API key that this link was made with was revoked.")
        if key.is_expired(datetime.now(UTC)):
            raise BadKey("key_expired", "The API key that this link was made with has expired.")

    async def _get(self, key_id: str, address: str | None = None) -> ApiKey | None:
        """The key with this id; an id that is not cached counts as an attempt of the address."""
        now = time.monotonic()
        entry = self._existing.get(key_id) or self._unknown.get(key_id)
        if entry is not None and entry.until > now:
            return entry.key
        counts = address is not None and (entry is None or entry.key is None)
        if address is not None and counts:
            allowance = self._attempts.take(address, now)
            if not allowance.allowed:
                raise TooManyAttempts(allowance.retry_after)
        key = await self._store.get(key_id)
        self._keep(key_id, key)
        if address is not None and counts and key is not None:
            self._attempts.give_back(address)
        return key

    def _keep(self, key_id: str, key: ApiKey | None) -> None:
        cache, seconds = (self._unknown, UNKNOWN_CACHE_SECONDS) if key is None else (self._existing, CACHE_SECONDS)
        self._existing.pop(key_id, None)
        self._unknown.pop(key_id, None)
        cache[key_id] = _Entry(key, time.monotonic() + seconds)
        if len(cache) > MAX_CACHED:
            cache.popitem(last=False)


async def check_key(store: KeyStore, text: str) -> ApiKey:
    """The key with this text, without a cache; raises as `KeyCache.check`."""
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
