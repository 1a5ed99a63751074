"""Reads of API keys: cached, and limited per address for keys that do not exist."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from services.gateway.auth import key_cache
from services.gateway.auth.api_keys import ApiKey, Secret, digest, new_secret
from services.gateway.auth.key_cache import KeyCache
from services.gateway.auth.key_store import KeyStore
from services.gateway.auth.rate import RateLimiter
from services.gateway.errors import BadKey, TooManyAttempts

NOW = datetime.now(UTC)
ATTEMPTS = 5


class CountedStore:
    """Keys in memory; counts reads."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}
        self.reads = 0

    def add(self, **fields: datetime) -> Secret:
        secret = new_secret()
        key = ApiKey(secret.id, "shop", "", frozenset("*"), digest(secret.secret), NOW, **fields)
        self.keys[secret.id] = key
        return secret

    async def get(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        return self.keys.get(key_id)


@pytest.fixture
def store() -> CountedStore:
    return CountedStore()


@pytest.fixture
def cache(store: CountedStore) -> KeyCache:
    return KeyCache(cast(KeyStore, store), RateLimiter(ATTEMPTS))


async def outcome(cache: KeyCache, secret: Secret, address: str = "a") -> str:
    try:
        await cache.check(str(secret), address)
    except (BadKey, TooManyAttempts) as fault:
        return fault.code
    return "ok"


async def test_an_address_that_invents_keys_is_rejected_before_any_further_read(
    store: CountedStore, cache: KeyCache
) -> None:
    codes = [await outcome(cache, new_secret()) for _ in range(ATTEMPTS + 20)]
    assert codes == ["invalid_key"] * ATTEMPTS + ["too_many_attempts"] * 20
    assert store.reads == ATTEMPTS
    assert await outcome(cache, new_secret(), "b") == "invalid_key"


async def test_an_unknown_key_is_read_once(store: CountedStore, cache: KeyCache) -> None:
    secret = new_secret()
    assert {await outcome(cache, secret) for _ in range(100)} == {"invalid_key"}
    assert store.reads == 1


async def test_a_revoked_key_is_rejected_after_two_seconds_and_not_later(
    store: CountedStore, cache: KeyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(key_cache, "time", SimpleNamespace(monotonic=lambda: clock.now))
    secret = store.add()
    assert await outcome(cache, secret) == "ok"
    store.keys[secret.id] = replace(store.keys[secret.id], revoked_at=NOW)
    clock.now += 1.9
    assert await outcome(cache, secret) == "ok"
    clock.now += 0.2
    assert await outcome(cache, secret) == "key_revoked"


async def test_existing_keys_do_not_count_as_attempts(store: CountedStore, cache: KeyCache) -> None:
    secrets = [store.add() for _ in range(ATTEMPTS * 3)]
    assert {await outcome(cache, secret) for secret in secrets} == {"ok"}


async def test_a_key_that_was_used_before_works_for_an_address_without_attempts_left(
    store: CountedStore, cache: KeyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "CACHE_SECONDS", 0.0)
    used, unused = store.add(), store.add()
    assert await outcome(cache, used) == "ok"
    for _ in range(ATTEMPTS):
        await outcome(cache, new_secret())
    assert await outcome(cache, used) == "ok"
    assert await outcome(cache, unused) == "too_many_attempts"


async def test_a_wrong_secret_for_an_existing_key_costs_no_read(store: CountedStore, cache: KeyCache) -> None:
    secret = store.add()
    wrong = [Secret(secret.id, new_secret().secret) for _ in range(100)]
    assert {await outcome(cache, one) for one in wrong} == {"invalid_key"}
    assert store.reads == 1


async def test_both_caches_are_bounded(store: CountedStore, cache: KeyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_cache, "MAX_CACHED", 2)
    first, *others = [store.add() for _ in range(3)]
    for secret in (first, *others, first):
        assert await outcome(cache, secret) == "ok"
    assert store.reads == 4


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"revoked_at": NOW}, "key_revoked"), ({"expires_at": NOW - timedelta(seconds=1)}, "key_expired")],
)
async def test_a_link_stops_working_with_its_key(
    store: CountedStore, cache: KeyCache, fields: dict[str, datetime], code: str
) -> None:
    await cache.check_link(store.add().id)
    with pytest.raises(BadKey) as rejected:
        await cache.check_link(store.add(**fields).id)
    assert rejected.value.code == code
    with pytest.raises(BadKey, match="revoked"):
        await cache.check_link(new_secret().id)
