"""ZIP packages, streamed: members are pulled one after the other and deflated with isal; same content, same bytes."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isal import isal_zlib
from stream_zip import Method, stream_zip

FIXED_TIME = datetime(1980, 1, 1)  # the first a ZIP can hold; it knows no zones
LEVEL = 2
"""isal's levels are 0 to 3."""
PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package; `content` is pulled when its turn comes."""

    name: str
    method: Method
    content: Iterable[bytes]


def package(members: Iterable[Member]) -> Iterator[bytes]:
    """The package's bytes."""
    files = ((m.name, FIXED_TIME, stat.S_IFREG | 0o644, m.method, m.content) for m in members)
    yield from stream_zip(files, chunk_size=PIECE, get_compressobj=_deflate)


def _deflate() -> Any:
    """A raw deflate stream (RFC 1951), as `zlib.compressobj` would make it."""
    return isal_zlib.compressobj(level=LEVEL, wbits=-15)
