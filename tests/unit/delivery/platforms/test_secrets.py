"""Secrets at rest open for their owner only, and survive a change of the master key."""

import base64
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.platforms.secrets import Owner, Sealed, Unsealable, Vault, parse_master_keys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OWNER = Owner("acme", "p1", "password")
CHARACTERS = st.characters(exclude_categories=["Cs"])


@given(st.text(CHARACTERS))
def test_what_was_sealed_is_opened(secret: str) -> None:
    vault = Vault({1: OLD}, 1)
    assert vault.open(vault.seal(secret, OWNER), OWNER) == secret


def test_nothing_of_the_secret_is_in_what_is_stored_and_no_two_are_alike() -> None:
    vault = Vault({1: OLD}, 1)
    first, second = vault.seal("correct horse", OWNER), vault.seal("correct horse", OWNER)
    assert b"horse" not in first.key + first.text
    assert first.text != second.text
    assert first.key != second.key


@pytest.mark.parametrize("field", ["tenant", "platform_id", "name"])
def test_a_secret_that_was_copied_to_somebody_else_does_not_open(field: str) -> None:
    vault = Vault({1: OLD}, 1)
    sealed = vault.seal("secret", OWNER)
    with pytest.raises(Unsealable, match="altered"):
        vault.open(sealed, dataclasses.replace(OWNER, **{field: "other"}))


@pytest.mark.parametrize("part", ["key", "text"])
@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_secret_that_was_altered_does_not_open(part: str, at: int) -> None:
    vault = Vault({1: OLD}, 1)
    sealed = vault.seal("secret", OWNER)
    changed = bytearray(getattr(sealed, part))
    changed[at] ^= 1
    change: dict[str, Any] = {part: bytes(changed)}
    with pytest.raises(Unsealable):
        vault.open(dataclasses.replace(sealed, **change), OWNER)


def test_a_secret_that_was_cut_short_does_not_open() -> None:
    with pytest.raises(Unsealable):
        Vault({1: OLD}, 1).open(Sealed(1, b"", b""), OWNER)


def test_after_a_rotation_the_old_master_key_is_not_needed() -> None:
    sealed = Vault({1: OLD}, 1).seal("secret", OWNER)
    rotated = Vault({1: OLD, 2: NEW}, 2).rewrapped(sealed, OWNER)
    assert (rotated.version, rotated.text) == (2, sealed.text)
    only_new = Vault({2: NEW}, 2)
    assert only_new.open(rotated, OWNER) == "secret"
    with pytest.raises(Unsealable, match="master key 1, which MASTER_KEYS does not have"):
        only_new.open(sealed, OWNER)


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_the_first_master_key_is_the_current_one() -> None:
    keys, current = parse_master_keys(f"2:{encoded(NEW)}, 1:{encoded(OLD)}")
    assert (keys, current) == ({1: OLD, 2: NEW}, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        encoded(OLD),
        "1:",
        "1:short",
        f"x:{encoded(OLD)}",
        f"-1:{encoded(OLD)}",
        f"1:{encoded(OLD)},1:{encoded(NEW)}",
        f"1:{encoded(OLD[:31])}",
        f"1:{encoded(OLD)},",
    ],
)
def test_master_keys_that_are_none_are_refused_without_a_word_of_them(text: str) -> None:
    with pytest.raises(ValueError, match="version:base64 of 32 bytes") as refusal:
        parse_master_keys(text)
    assert encoded(OLD)[:8] not in str(refusal.value)
