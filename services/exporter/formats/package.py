"""Streamed ZIP packages: members are read one after the other, and deflated in threads. Same content, same bytes."""

import os
import stat
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stream_zip import ZIP_32, ZIP_64, stream_zip

from services.exporter.formats.deflate import CHUNK_BYTES, ParallelDeflate
from services.exporter.prefetch import Prefetch

FIXED_TIME = datetime(1980, 1, 1)  # the earliest time in a ZIP, which has no time zones
MAX_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""Threads that deflate one package, at the priority of its export. More than 4 would wait for the rows.

On two cores there is none to spare beside MongoDB's, and a second thread gained nothing."""
MAX_ZIP32_MEMBERS = 65_535
MAX_ZIP32_BYTES = 2 << 30
"""With more content than this, offsets may need the 64-bit format, which some tools cannot read."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package, of less than 4 GiB; `content` is read when its turn comes, generators in a thread."""

    name: str
    content: Iterable[bytes]


def package(members: Iterable[Member], threads: int = MAX_THREADS) -> Generator[bytes, None, None]:
    """The package's bytes, the same for any number of threads."""
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="export-deflate") if threads > 1 else None
        if pool is not None:
            stack.callback(pool.shutdown, cancel_futures=True)

        def deflater() -> Any:  # stream_zip's annotation only allows zlib's own class
            return ParallelDeflate(pool, max_waiting=2 * threads)

        # Extended timestamps are seconds since 1970, so they would depend on the machine's time zone.
        yield from stream_zip(
            _files(members), chunk_size=CHUNK_BYTES, get_compressobj=deflater, extended_timestamps=False
        )


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
