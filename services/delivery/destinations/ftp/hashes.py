"""Which hashes an FTP server computes by itself, so that what it has need not be read back. Pure.

There are two families: HASH (draft-ietf-ftpext2-hash), and the older XSHA256, XSHA1, XMD5 and their like.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_STRONGEST_FIRST = (("sha256", "SHA-256"), ("sha512", "SHA-512"), ("sha1", "SHA-1"), ("md5", "MD5"))
_DIGITS = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32}


@dataclass(frozen=True, slots=True)
class ServerHash:
    """One hash by hashlib's name, and how to ask: `prepare` first, if there is something, then `verb` with a name."""

    algorithm: str
    verb: str
    prepare: str = ""

    def found_in(self, answer: Sequence[str]) -> str | None:
        """The hash in an answer, lower case."""
        pattern = rf"(?<![0-9a-z])[0-9a-f]{{{_DIGITS[self.algorithm]}}}(?![0-9a-z])"
        found = re.search(pattern, " ".join(answer), re.IGNORECASE)
        return found[0].lower() if found else None


def offered(features: Sequence[str]) -> ServerHash | None:
    """The best hash among the lines of an answer to FEAT; SHA-256 first, as it is the one we know beforehand."""
    words = [feature.strip().upper().split(None, 1) for feature in features]
    verbs = {word[0] for word in words if word}
    named = {name.rstrip("*") for word in words if word[:1] == ["HASH"] and word[1:] for name in word[1].split(";")}
    for algorithm, name in _STRONGEST_FIRST:
        if name in named:
            return ServerHash(algorithm, "HASH", prepare=f"OPTS HASH {name}")
        if f"X{algorithm.upper()}" in verbs:
            return ServerHash(algorithm, f"X{algorithm.upper()}")
    return None
