"""Compresses responses with zstd or gzip, as `Accept-Encoding` asks for (RFC 9110, 12.5.3).

What is compressed already, and what is too small to gain from it, stays as it is. The ETag of a compressed response is
weak, since its bytes are others.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import zstandard
from aiohttp import web

MIN_BYTES = 1_024
GZIP_LEVEL, ZSTD_LEVEL = 1, 3
"""Fast ones: the file is compressed while it is sent."""
IN_THREAD_BYTES = 64 * 1024
"""From this size on, a piece is compressed in a thread; the event loop serves other requests meanwhile."""
_TYPES = (
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "application/xml",
    "text/csv",
    "text/html",
    "text/plain",
)


class Encoder(Protocol):
    """Compresses a stream."""

    def compress(self, data: bytes, /) -> bytes:
        """What is ready after this piece."""

    def flush(self) -> bytes:
        """The rest."""


def chosen_encoding(request: web.Request, media_type: str) -> str:
    """`zstd`, `gzip`, or nothing for the media type or a client that takes neither."""
    if media_type.partition(";")[0].strip().lower() not in _TYPES:
        return ""
    accepted = ",".join(request.headers.getall("Accept-Encoding", ()))
    weights = dict(map(_weighed, accepted.split(",")))
    best = max(("zstd", "gzip"), key=lambda name: weights.get(name, weights.get("*", 0.0)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else ""


def encoder(encoding: str) -> Encoder:
    """A new encoder for `zstd` or `gzip`."""
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    return zlib.compressobj(GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)


def compress(request: web.Request, response: web.StreamResponse) -> None:
    """Compress the body of a response that is not sent yet, if that is wanted and worth it."""
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes) or response.prepared:
        return
    response.headers["Vary"] = _joined(response.headers.get("Vary", ""), "Accept-Encoding")
    if len(response.body) < MIN_BYTES or "Content-Encoding" in response.headers:
        return
    encoding = chosen_encoding(request, response.content_type)
    if not encoding:
        return
    made = encoder(encoding)
    response.body = made.compress(response.body) + made.flush()
    response.headers["Content-Encoding"] = encoding
    if (etag := response.headers.get("ETag")) is not None and not etag.startswith("W/"):
        response.headers["ETag"] = f"W/{etag}"


async def compressed(chunks: AsyncGenerator[bytes, None], encoding: str, size: int) -> AsyncGenerator[bytes, None]:
    """The chunks of a file, compressed.

    Raises:
        ValueError: they are not `size` bytes in all.
    """
    made, left = encoder(encoding), size
    async with aclosing(chunks):
        async for chunk in chunks:
            left -= len(chunk)
            is_large = len(chunk) >= IN_THREAD_BYTES
            ready = await asyncio.to_thread(made.compress, chunk) if is_large else made.compress(chunk)
            if ready:
                yield ready
    if left:
        raise ValueError("the file is shorter than recorded")
    yield made.flush()


def _weighed(part: str) -> tuple[str, float]:
    name, _, weight = part.partition(";")
    try:
        return name.strip().lower(), float(weight.strip().removeprefix("q=") or 1)
    except ValueError:
        return name.strip().lower(), 0.0


def _joined(known: str, name: str) -> str:
    return f"{known}, {name}" if known else name
