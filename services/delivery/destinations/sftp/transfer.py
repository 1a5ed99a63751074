"""Reads and writes an SFTP file with many requests in flight, which is what makes SFTP fast.

Each request waits a round trip; one at a time, a line with a round trip of 50 ms carries at most 5 MB/s.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

import asyncssh

from services.delivery.destinations.contract import Step
from services.delivery.destinations.kit.window import RequestWindow
from services.delivery.destinations.sftp.errors import translate_errors

MIN_BLOCK, MAX_BLOCK = 4 * 1024, 256 * 1024
MAX_REQUESTS = 128
IN_FLIGHT = 4 * 1024 * 1024
"""Bytes of unanswered requests: enough for 40 MB/s at a round trip of 100 ms."""


def block_size(limit: int) -> int:
    """Bytes of a request, where the server accepts at most `limit`; servers that want tiny blocks get `MIN_BLOCK`."""
    return max(MIN_BLOCK, min(limit, MAX_BLOCK))


def _window_size(block: int) -> int:
    return min(max(4, IN_FLIGHT // block), MAX_REQUESTS)


async def write(
    file: asyncssh.SFTPClientFile,
    pieces: AsyncIterator[bytes],
    offset: int,
    block: int,
    seconds: float,
    written: Callable[[int], None],
) -> None:
    """Write pieces of `block` bytes, starting at `offset`.

    Args:
        seconds: time limit for each answer.
        written: called with the number of bytes the file has, as they are acknowledged.

    Raises:
        DestinationError: at the step write.
    """
    async with RequestWindow[int](_window_size(block)) as window:

        async def settle() -> None:
            nonlocal offset
            async with translate_errors(Step.WRITE, seconds):
                offset += await window.oldest()
            written(offset)

        requested = offset
        async for piece in pieces:
            if window.full:
                await settle()
            window.start(file.write(piece, requested))
            requested += len(piece)
        while window:
            await settle()


async def read(
    file: asyncssh.SFTPClientFile, start: int, end: int, block: int, seconds: float
) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` to `end` in pieces of `block` bytes, fewer if the file ends before.

    Raises:
        DestinationError: at the step read.
    """
    async with RequestWindow[bytes](_window_size(block)) as window:
        requested = start
        while requested < end or window:
            while requested < end and not window.full:
                window.start(_read_block(file, requested, min(block, end - requested)))
                requested += block
            async with translate_errors(Step.READ, seconds):
                piece = await window.oldest()
            if piece:
                yield piece


async def _read_block(file: asyncssh.SFTPClientFile, offset: int, size: int) -> bytes:
    """A whole block; a server may send less than was requested."""
    data = b""
    while len(data) < size:
        more: bytes = await file.read(size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
