"""ZIP packages, streamed: members are pulled one after the other and deflated with isal; same content, same bytes."""

import stat
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isal import isal_zlib
from stream_zip import ZIP_32, ZIP_64, stream_zip

from services.exporter.export.pipeline import Ahead

FIXED_TIME = datetime(1980, 1, 1)  # the first a ZIP can hold; it knows no zones
LEVEL = 2
"""isal's levels are 0 to 3."""
PIECE = 1 << 18
CLASSIC_MEMBERS = 65_535
"""More members than this only the 64-bit format counts."""
CLASSIC_BYTES = 2 << 30
"""After this much content, offsets may no longer fit the classic format that every tool can read."""


NEVER = threading.Event()
"""What makes the content hears of a stop itself."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package, of less than 4 GiB; `content` is pulled when its turn comes, a generator ahead."""

    name: str
    content: Iterable[bytes]


def package(members: Iterable[Member]) -> Generator[bytes, None, None]:
    """The package's bytes."""
    # No extended timestamps: those are seconds since 1970 and would depend on the machine's time zone.
    yield from stream_zip(_files(members), chunk_size=PIECE, get_compressobj=_deflate, extended_timestamps=False)


def _files(members: Iterable[Member]) -> Iterator[Any]:
    """What stream_zip takes: the classic format for as long as it is sure to do."""
    total = 0

    def counted(content: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal total
        with ExitStack() as stack:
            if isinstance(content, Generator):
                content = stack.enter_context(Ahead(content, NEVER, name="export-transcode"))
            for chunk in content:
                total += len(chunk)
                yield chunk

    for number, member in enumerate(members, 1):
        method = ZIP_32 if number <= CLASSIC_MEMBERS and total < CLASSIC_BYTES else ZIP_64
        yield member.name, FIXED_TIME, stat.S_IFREG | 0o644, method, counted(member.content)


def _deflate() -> Any:
    """A raw deflate stream (RFC 1951), as `zlib.compressobj` would make it."""
    return isal_zlib.compressobj(level=LEVEL, wbits=-15)
