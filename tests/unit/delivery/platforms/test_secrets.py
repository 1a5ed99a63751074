"""Secrets at rest can be decrypted only for their owner, and survive a rotation of the master key."""

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
def test_an_encrypted_secret_can_be_decrypted(secret: str) -> None:
    vault = Vault({1: OLD}, 1)
    assert vault.open(vault.seal(secret, OWNER), OWNER) == secret


def test_a_ciphertext_does_not_contain_the_secret_and_is_never_repeated() -> None:
    vault = Vault({1: OLD}, 1)
    first, second = vault.seal("correct horse", OWNER), vault.seal("correct horse", OWNER)
    assert b"horse" not in first.key + first.text
    assert first.text != second.text
    assert first.key != second.key


@pytest.mark.parametrize("field", ["tenant", "platform_id", "name"])
def test_a_secret_copied_to_another_owner_cannot_be_decrypted(field: str) -> None:
    vault = Vault({1: OLD}, 1)
    sealed = vault.seal("secret", OWNER)
    with pytest.raises(Unsealable, match="altered"):
        vault.open(sealed, dataclasses.replace(OWNER, **{field: "other"}))


@pytest.mark.parametrize("part", ["key", "text"])
@pytest.mark.parametrize("at", [0, 12, -1])
def test_an_altered_secret_cannot_be_decrypted(part: str, at: int) -> None:
    vault = Vault({1: OLD}, 1)
    sealed = vault.seal("secret", OWNER)
    changed = bytearray(getattr(sealed, part))
    changed[at] ^= 1
    change: dict[str, Any] = {part: bytes(changed)}
    with pytest.raises(Unsealable):
        vault.open(dataclasses.replace(sealed, **change), OWNER)


def test_a_truncated_secret_cannot_be_decrypted() -> None:
    with pytest.raises(Unsealable):
        Vault({1: OLD}, 1).open(Sealed(1, b"", b""), OWNER)


def test_after_a_rotation_the_old_master_key_is_not_needed() -> None:
    sealed = Vault({1: OLD}, 1).seal("secret", OWNER)
    rotated = Vault({1: OLD, 2: NEW}, 2).rewrapped(sealed, OWNER)
    assert (rotated.version, rotated.text) == (2, sealed.text)
    only_new = Vault({2: NEW}, 2)
    assert only_new.open(rotated, OWNER) == "secret"
    with pytest.raises(Unsealable, match="master key 1, which is not in MASTER_KEYS"):
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
def test_invalid_master_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="version:base64 of 32 bytes") as refusal:
        parse_master_keys(text)
    assert encoded(OLD)[:8] not in str(refusal.value)
