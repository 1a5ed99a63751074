"""Batches of BSON for fuzzing: random documents of every type, and ways to damage them."""

import random
import struct
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from benchmarks.catalogue import products

KEYS = ["_id", "id", "sku", "a", "b", "c", "a.b", "$ref", "$id", "é\U0001f389", "", "long" * 20]
TEXTS = [
    "",
    "x",
    "a|b",
    'say "hi"',
    "=1+1",
    "line\r\nbreak",
    "é\U0001f389\ufffe",
    "_x0041_",
    " a  b ",
    "y" * 300,
    "<&>",
]
LENGTHS = [0, 1, 4, 5, 6, -1, -5, 127, 255, 256, 1 << 16, (1 << 31) - 1, -(1 << 31)]

_SCALARS: list[Callable[[random.Random], Any]] = [
    lambda dice: dice.choice(TEXTS) * dice.choice([1, 1, 1, 3]),
    lambda dice: dice.randrange(-(2**31), 2**31),
    lambda dice: Int64(dice.randrange(-(2**63), 2**63)),
    lambda dice: struct.unpack("<d", dice.randbytes(8))[0],
    lambda dice: dice.randrange(10**6) / 100,
    lambda dice: Decimal128.from_bid(dice.randbytes(16)),
    lambda dice: Decimal128(f"{dice.randrange(10**6)}E{dice.randrange(-9, 3)}"),
    lambda dice: DatetimeMS(dice.randrange(-(2**63), 2**63)),
    lambda dice: datetime(dice.randrange(1, 9999), 2, 28, 9, 5),
    lambda dice: ObjectId(dice.randbytes(12)),
    lambda dice: Binary(dice.randbytes(dice.choice([0, 1, 16, 17])), dice.choice([0, 2, 3, 4, 5, 128])),
    lambda dice: Timestamp(dice.randrange(2**32), dice.randrange(2**32)),
    lambda dice: dice.choice([None, True, False, MinKey(), MaxKey(), Regex("a|b", "im"), Code("f()"), Code("f()", {})]),
    lambda dice: DBRef("shops", dice.randrange(9), dice.choice([None, "db"])),
]


def document(dice: random.Random) -> dict[str, Any]:
    """A document of random keys and values, nested up to five levels."""
    return {key: _value(dice, 0) for key in dice.sample(KEYS, dice.randrange(len(KEYS)))}


def _value(dice: random.Random, depth: int) -> Any:
    kind = dice.random()
    if depth < 5 and kind < 0.12:
        return {key: _value(dice, depth + 1) for key in dice.sample(KEYS, dice.randrange(5))}
    if depth < 5 and kind < 0.25:
        return [_value(dice, depth + 1) for _ in range(dice.randrange(5))]
    return dice.choice(_SCALARS)(dice)


def stored(dice: random.Random, count: int) -> list[bytes]:
    """`count` encoded documents, a few of them products."""
    return [bson.encode(product) for product in islice(products(count), count // 20)] + [
        bson.encode(document(dice)) for _ in range(count)
    ]


def damaged(dice: random.Random, batch: bytes) -> bytes:
    """The batch with bits flipped, bytes or lengths overwritten, parts removed or repeated, or the end missing."""
    found = bytearray(batch)
    for _ in range(dice.choice([0, 1, 1, 2, 5])):
        if len(found) < 8:
            break
        at = dice.randrange(len(found) - 4)
        _DAMAGE[dice.randrange(len(_DAMAGE))](dice, found, at)
    return bytes(found[: dice.randrange(len(found) + 1)] if dice.random() < 0.2 else found)


def _flip(dice: random.Random, found: bytearray, at: int) -> None:
    found[at] ^= 1 << dice.randrange(8)


def _overwrite(dice: random.Random, found: bytearray, at: int) -> None:
    found[at] = dice.randrange(256)


def _lengthen(dice: random.Random, found: bytearray, at: int) -> None:
    near = int.from_bytes(found[at : at + 4], "little", signed=True) + dice.choice([-1, 1, 4])
    length = dice.choice(LENGTHS) if dice.random() < 0.5 else max(-(1 << 31), min((1 << 31) - 1, near))
    found[at : at + 4] = struct.pack("<i", length)


def _cut(dice: random.Random, found: bytearray, at: int) -> None:
    del found[at : at + dice.randrange(1, 20)]


def _double(dice: random.Random, found: bytearray, at: int) -> None:
    found[at:at] = found[at : at + dice.randrange(1, 20)]


_DAMAGE = [_flip, _flip, _overwrite, _lengthen, _cut, _double]
