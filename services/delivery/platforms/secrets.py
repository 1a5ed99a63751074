"""Secrets at rest: AES-256-GCM with a key per secret, wrapped by a versioned master key, bound to their owner.

The master key is in the environment, never in the database. Rotating it re-encrypts the keys, not the secrets.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12


class Unsealable(Exception):
    """A secret cannot be decrypted: its master key is missing, it was altered, or it belongs to another owner."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a secret; a ciphertext copied to another owner's document cannot be decrypted there."""

    tenant: str
    platform_id: str
    name: str

    @property
    def associated_data(self) -> bytes:
        """The associated data of the encryption."""
        return "\n".join([self.tenant, self.platform_id, self.name]).encode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as stored: its key, encrypted with master key `version`, and its text; each starts with a nonce."""

    version: int
    key: bytes
    text: bytes


class Vault:
    """Encrypts and decrypts secrets.

    Args:
        keys: master keys by version, 32 bytes each.
        current: the version used for new secrets.
    """

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        self._keys = {version: AESGCM(key) for version, key in keys.items()}
        self.current = current

    def seal(self, secret: str, owner: Owner) -> Sealed:
        """Encrypt a secret for its owner."""
        key = os.urandom(KEY_BYTES)
        wrapped = _encrypt(self._keys[self.current], key, owner.associated_data)
        return Sealed(self.current, wrapped, _encrypt(AESGCM(key), secret.encode(), owner.associated_data))

    def open(self, sealed: Sealed, owner: Owner) -> str:
        """Decrypt a secret.

        Raises:
            Unsealable: it cannot be decrypted.
        """
        key = self._unwrapped(sealed, owner)
        return _decrypt(AESGCM(key), sealed.text, owner).decode()

    def rewrapped(self, sealed: Sealed, owner: Owner) -> Sealed:
        """The same secret with its key encrypted by the current master key."""
        key = self._unwrapped(sealed, owner)
        return Sealed(self.current, _encrypt(self._keys[self.current], key, owner.associated_data), sealed.text)

    def _unwrapped(self, sealed: Sealed, owner: Owner) -> bytes:
        master = self._keys.get(sealed.version)
        if master is None:
            raise Unsealable(f"{owner.name} is encrypted with master key {sealed.version}, which is not in MASTER_KEYS")
        return _decrypt(master, sealed.key, owner)


def parse_master_keys(text: str) -> tuple[Mapping[int, bytes], int]:
    """Parse `2:base64,1:base64`: master keys by version, and the first one's version, which is the current one.

    Raises:
        ValueError: the format is wrong; the message contains no part of a key.
    """
    keys: dict[int, bytes] = {}
    for part in text.split(","):
        version, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not version.isdecimal() or len(key) != KEY_BYTES or int(version) in keys:
            raise ValueError("must be version:base64 of 32 bytes, each version once, separated by commas")
        keys[int(version)] = key
    return keys, next(iter(keys))


def vault_of(text: str) -> Vault:
    """A vault with these master keys."""
    return Vault(*parse_master_keys(text))


def _encrypt(cipher: AESGCM, plain: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, associated)


def _decrypt(cipher: AESGCM, sealed: bytes, owner: Owner) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.associated_data)
    except (InvalidTag, ValueError) as exc:
        raise Unsealable(f"{owner.name} was altered, or encrypted for another platform or with another key") from exc
