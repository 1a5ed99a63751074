"""Recognizes a repeated request to register a platform, without keeping its secrets.

The request contains passwords, so its hash is as slow and as salted as that of a password.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

_COST = {"n": 2**14, "r": 8, "p": 1}
"""Of scrypt: 16 MiB and some hundredths of a second."""


def fingerprint(kind: str, name: str, config: Mapping[str, Any], *, is_active: bool) -> str:
    """A fingerprint of the request, with a salt of its own."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_hash(salt, kind, name, config, is_active=is_active)}"


def fits(known: str, kind: str, name: str, config: Mapping[str, Any], *, is_active: bool) -> bool:
    """Whether a fingerprint is that of this request."""
    salt, _, expected = known.partition("$")
    found = _hash(bytes.fromhex(salt), kind, name, config, is_active=is_active)
    return hmac.compare_digest(found, expected)


def _hash(salt: bytes, kind: str, name: str, config: Mapping[str, Any], *, is_active: bool) -> str:
    text = json.dumps([kind, name, config, is_active], sort_keys=True)
    return hashlib.scrypt(text.encode(), salt=salt, **_COST).hex()
