"""Streamed ZIP packages: members are read one after the other and deflated with isal. Same content, same bytes."""

import stat
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isal import isal_zlib
from stream_zip import ZIP_32, ZIP_64, stream_zip

from services.exporter.prefetch import Prefetch

FIXED_TIME = datetime(1980, 1, 1)  # the earliest time in a ZIP, which has no time zones
LEVEL = 2
"""isal's levels are 0 to 3."""
CHUNK_BYTES = 1 << 18
MAX_ZIP32_MEMBERS = 65_535
MAX_ZIP32_BYTES = 2 << 30
"""With more content than this, offsets may need the 64-bit format, which some tools cannot read."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package, of less than 4 GiB; `content` is read when its turn comes, generators in a thread."""

    name: str
    content: Iterable[bytes]


def package(members: Iterable[Member]) -> Generator[bytes, None, None]:
    """The package's bytes."""
    # Extended timestamps are seconds since 1970, so they would depend on the machine's time zone.
    yield from stream_zip(_files(members), chunk_size=CHUNK_BYTES, get_compressobj=_deflate, extended_timestamps=False)


def _files(members: Iterable[Member]) -> Iterator[Any]:
    """The files as stream_zip expects them, in the 32-bit format as long as that is certain to suffice."""
    total = 0
    never = threading.Event()  # the source of the content is stopped, which ends the content too

    def counted(content: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal total
        with ExitStack() as stack:
            if isinstance(content, Generator):
                content = stack.enter_context(Prefetch(content, never, name="export-transcode"))
            for chunk in content:
                total += len(chunk)
                yield chunk

    for number, member in enumerate(members, 1):
        method = ZIP_32 if number <= MAX_ZIP32_MEMBERS and total < MAX_ZIP32_BYTES else ZIP_64
        yield member.name, FIXED_TIME, stat.S_IFREG | 0o644, method, counted(member.content)


def _deflate() -> Any:
    """A raw deflate stream (RFC 1951), like that of `zlib.compressobj`."""
    return isal_zlib.compressobj(level=LEVEL, wbits=-15)
