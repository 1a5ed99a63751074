"""SipHash-2-4 with 128 bits of output (Aumasson and Bernstein), with the key of its test vectors: 00 01 ... 0f.

Fast for short texts, and the same everywhere. Unlike with hashes made for tables, no way is known to find two texts
with the same hash that is faster than trying, so a change of a product cannot be hidden on purpose.
"""

import struct

_MASK = (1 << 64) - 1
_KEY = struct.unpack("<2Q", bytes(range(16)))
_Words = tuple[int, int, int, int]


def siphash(content: bytes) -> bytes:
    """The 16 bytes of the hash of some content."""
    low, high = _KEY
    state = (
        low ^ 0x736F6D6570736575,
        high ^ 0x646F72616E646F6D ^ 0xEE,
        low ^ 0x6C7967656E657261,
        high ^ 0x7465646279746573,
    )
    whole = len(content) & ~7
    last = int.from_bytes(content[whole:], "little") | (len(content) & 0xFF) << 56
    for (word,) in (*struct.iter_unpack("<Q", content[:whole]), (last,)):
        a, b, c, d = _rounds((state[0], state[1], state[2], state[3] ^ word), 2)
        state = (a ^ word, b, c, d)
    a, b, c, d = _rounds((state[0], state[1], state[2] ^ 0xEE, state[3]), 4)
    first = a ^ b ^ c ^ d
    a, b, c, d = _rounds((a, b ^ 0xDD, c, d), 4)
    return struct.pack("<2Q", first, a ^ b ^ c ^ d)


def _rounds(state: _Words, count: int) -> _Words:
    a, b, c, d = state
    for _ in range(count):
        a = (a + b) & _MASK
        c = (c + d) & _MASK
        b = ((b << 13 | b >> 51) & _MASK) ^ a
        d = ((d << 16 | d >> 48) & _MASK) ^ c
        a = (a << 32 | a >> 32) & _MASK
        c = (c + b) & _MASK
        a = (a + d) & _MASK
        b = ((b << 17 | b >> 47) & _MASK) ^ c
        d = ((d << 21 | d >> 43) & _MASK) ^ a
        c = (c << 32 | c >> 32) & _MASK
    return a, b, c, d
