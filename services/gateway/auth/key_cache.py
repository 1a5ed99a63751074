"""Which caller a key stands for: looked up in MongoDB, remembered for two seconds, so that revoking works at once."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from services.gateway.auth.api_keys import ApiKey, Secret, parse
from services.gateway.auth.key_store import KeyStore
from services.gateway.errors import BadKey

REMEMBERED_SECONDS = 2.0
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    until: float


class KeyRing:
    """Checks keys against their store, with a short memory of those that exist."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def check(self, text: str) -> ApiKey:
        """The key this text is.

        Raises:
            BadKey: it is none, unknown, revoked or expired.
            Unavailable: MongoDB does not answer.
        """
        secret = _parsed(text)
        known = self._known.get(secret.id)
        if known is not None and known.until > time.monotonic():
            return _valid(known.key, secret)
        key = _valid(await self._store.get(secret.id), secret)
        self._known[key.id] = _Known(key, time.monotonic() + REMEMBERED_SECONDS)
        self._known.move_to_end(key.id)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return key


async def check_key(store: KeyStore, text: str) -> ApiKey:
    """The same without a memory."""
    secret = _parsed(text)
    return _valid(await store.get(secret.id), secret)


def _parsed(text: str) -> Secret:
    secret = parse(text)
    if secret is None:
        raise BadKey("invalid_key", "This is not an API key of ours; they look like cx_<id>_<secret>.")
    return secret


def _valid(key: ApiKey | None, secret: Secret) -> ApiKey:
    if key is None or not key.has_secret(secret.secret):
        raise BadKey("invalid_key", "There is no such API key.")
    if key.revoked_at is not None:
        raise BadKey("key_revoked", "This API key was revoked; use another one.")
    if key.is_expired(datetime.now(UTC)):
        raise BadKey("key_expired", "This API key has expired; use another one.")
    return key
