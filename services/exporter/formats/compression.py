"""Compresses whole files with gzip or zstd. Same content, same bytes: on any machine, with any number of threads.

A compressed file is stored and delivered as it is: its name ends in `.gz` or `.zst`, and its media type is that of the
compressed file. (`Content-Encoding` would be another thing: a client undoes that before it stores the file.)
"""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Literal

import zstandard
from isal import isal_zlib
from pydantic import BaseModel, Field

from services.exporter.formats.deflate import CHUNK_BYTES, ParallelDeflate
from services.exporter.formats.package import MAX_THREADS
from services.exporter.prefetch import Prefetch

Compression = Literal["gzip", "zstd"]
SUFFIXES: dict[Compression, str] = {"gzip": ".gz", "zstd": ".zst"}
MEDIA_TYPES: dict[Compression, str] = {"gzip": "application/gzip", "zstd": "application/zstd"}
"""RFC 6713 and RFC 8878."""
ZSTD_LEVEL = 3
# RFC 1952: deflate, no file name, no time (the same content gives the same bytes), unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class CompressionOptions(BaseModel):
    """The option of formats whose files are text."""

    compression: Compression | None = Field(
        default=None, description="Compress the file: its name then ends in `.gz` or `.zst`; absent: not compressed."
    )


def stored_extension(extension: str, options: CompressionOptions) -> str:
    """The extension of the stored file, given that of its content."""
    return extension + (SUFFIXES[options.compression] if options.compression else "")


def stored_media_type(media_type: str, options: CompressionOptions) -> str:
    """The media type of the stored file, given that of its content."""
    return MEDIA_TYPES[options.compression] if options.compression else media_type


def stored(
    content: Generator[bytes, None, None], options: CompressionOptions, threads: int = MAX_THREADS
) -> Generator[bytes, None, None]:
    """The stored file, given its content."""
    if options.compression == "gzip":
        return gzipped(content, threads)
    return zstandardized(content, threads) if options.compression == "zstd" else content


def gzipped(content: Generator[bytes, None, None], threads: int = MAX_THREADS) -> Generator[bytes, None, None]:
    """One gzip member, deflated in chunks as the members of packages are; `content` runs in a thread of its own."""
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="export-deflate") if threads > 1 else None
        if pool is not None:
            stack.callback(pool.shutdown, cancel_futures=True)
        deflate = ParallelDeflate(pool, max_waiting=2 * threads)
        never = threading.Event()  # the source of the content is stopped, which ends the content too
        checksum = size = 0
        yield _GZIP_HEADER
        for chunk in stack.enter_context(Prefetch(content, never, name="export-transcode")):
            checksum, size = isal_zlib.crc32(chunk, checksum), size + len(chunk)
            if ready := deflate.compress(chunk):
                yield ready
        yield deflate.flush() + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def zstandardized(content: Generator[bytes, None, None], threads: int = MAX_THREADS) -> Generator[bytes, None, None]:
    """One frame with a checksum, compressed in zstd's own threads beside the one that makes the content.

    One frame, because some readers stop after the first. With at least one thread of its own, zstd cuts the content
    into jobs of a fixed size, so neither the number of threads nor the cuts of the content change the bytes.
    """
    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, threads=threads, write_checksum=True, write_content_size=False
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with closing(content):
        for chunk in content:
            # In pieces, so that a large chunk does not become one large piece of output.
            for at in range(0, len(chunk), CHUNK_BYTES):
                if ready := compressor.compress(chunk[at : at + CHUNK_BYTES]):
                    yield ready
        yield compressor.flush()
