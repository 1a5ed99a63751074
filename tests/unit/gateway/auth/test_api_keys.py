"""API keys: parsing, storage, scopes and expiry."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth.api_keys import SCOPES, ApiKey, Secret, check_scopes, digest, new_secret, parse

NOW = datetime(2026, 3, 15, 9, 0, tzinfo=UTC)


def key(*scopes: str, secret: str = "s", expires_at: datetime | None = None) -> ApiKey:
    return ApiKey("0123456789ab", "shop", "", frozenset(scopes), digest(secret), NOW, expires_at)


def test_a_new_key_can_be_parsed_from_its_text() -> None:
    secret = new_secret()
    assert parse(str(secret)) == secret
    assert new_secret() != secret


@given(
    st.text(alphabet="0123456789abcdef", min_size=12, max_size=12),
    st.from_regex(r"\A[A-Za-z0-9_-]{43}\Z"),
)
def test_every_key_can_be_parsed_from_its_text(key_id: str, secret: str) -> None:
    assert parse(f"cx_{key_id}_{secret}") == Secret(key_id, secret)


@given(st.text(max_size=80))
def test_a_parsed_text_formats_to_the_same_text(text: str) -> None:
    found = parse(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize("change", ["{}x", "x{}", "{}\n", " {}", "{}="])
def test_a_key_with_extra_characters_is_not_a_key(change: str) -> None:
    assert parse(change.format(new_secret())) is None


def test_a_secret_is_not_shown_when_a_key_is_logged() -> None:
    secret = new_secret()
    assert secret.secret not in repr(secret)
    assert secret.secret not in repr(key("*", secret=secret.secret))


def test_only_the_hash_of_a_secret_is_kept_and_only_that_secret_has_it() -> None:
    kept = key("*", secret="right")
    assert kept.sha256 == hashlib.sha256(b"right").hexdigest()
    assert kept.has_secret("right")
    assert not kept.has_secret("wrong")
    assert not kept.has_secret("")


def test_a_key_allows_its_scopes_and_the_star_allows_everything() -> None:
    assert key("exports:read").allows("exports:read")
    assert not key("exports:read").allows("exports:write")
    assert all(key("*").allows(scope) for scope in SCOPES)


def test_a_key_expires_at_the_exact_time_and_one_without_expiry_never() -> None:
    ending = key("*", expires_at=NOW)
    assert not ending.is_expired(NOW - timedelta(microseconds=1))
    assert ending.is_expired(NOW)
    assert not key("*").is_expired(datetime.max.replace(tzinfo=UTC))


def test_scopes_are_parsed_from_a_list_with_spaces_and_repetitions() -> None:
    assert check_scopes(" exports:read, exports:write,exports:read,") == {"exports:read", "exports:write"}
    assert check_scopes("*") == {"*"}


@pytest.mark.parametrize(("text", "words"), [("exports:raed", "unknown scope exports:raed"), ("", "no scope is given")])
def test_an_unknown_scope_is_named_together_with_all_valid_ones(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as rejected:
        check_scopes(text)
    assert "exports:read, exports:write" in str(rejected.value)
