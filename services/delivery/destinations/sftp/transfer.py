"""Blocks to and from an SFTP file with many requests on their way, which is what makes SFTP fast.

A request waits a round trip; one at a time, a line of 50 ms carries 5 MB/s at best. Errors and time limits are those of
`calling`, around the calls to the server only, so that what the payload's source raises passes through as it is.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Generic, Self, TypeVar

import asyncssh

from services.delivery.destinations.contract import Step
from services.delivery.destinations.sftp.errors import calling

LARGEST_BLOCK = 256 * 1024
IN_FLIGHT = 4 * 1024 * 1024
"""Bytes of unanswered requests: a line of 100 ms at 40 MB/s."""
T = TypeVar("T")


def block_size(limit: int) -> int:
    """Bytes a request carries, where the server takes `limit` at most."""
    return min(limit, LARGEST_BLOCK)


class _Window(Generic[T]):
    """Requests on their way, their answers taken in the order they were asked."""

    def __init__(self, block: int) -> None:
        self._most = max(4, IN_FLIGHT // block)
        self._tasks: deque[asyncio.Task[T]] = deque()

    @property
    def full(self) -> bool:
        return len(self._tasks) >= self._most

    def __len__(self) -> int:
        return len(self._tasks)

    def ask(self, request: Coroutine[None, None, T]) -> None:
        self._tasks.append(asyncio.create_task(request))

    async def oldest(self) -> T:
        return await self._tasks.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def blocks(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of exactly this size, the last one shorter."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        whole = len(held) - len(held) % size
        with memoryview(held) as view:
            for start in range(0, whole, size):
                yield bytes(view[start : start + size])
        del held[:whole]
    if held:
        yield bytes(held)


async def write(
    file: asyncssh.SFTPClientFile,
    pieces: AsyncIterator[bytes],
    offset: int,
    block: int,
    seconds: float,
    written: Callable[[int], None],
) -> None:
    """Write pieces of `block` bytes from `offset` on.

    Args:
        seconds: how long the server may say nothing.
        written: told the number of bytes the file has, as they are acknowledged.

    Raises:
        DestinationError: at the step write.
    """
    async with _Window[int](block) as window:

        async def settle() -> None:
            nonlocal offset
            async with calling(Step.WRITE, seconds):
                offset += await window.oldest()
            written(offset)

        asked = offset
        async for piece in pieces:
            if window.full:
                await settle()
            window.ask(file.write(piece, asked))
            asked += len(piece)
        while window:
            await settle()


async def read(
    file: asyncssh.SFTPClientFile, start: int, end: int, block: int, seconds: float
) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` to `end` in pieces of `block` bytes, fewer where the file ends before.

    Raises:
        DestinationError: at the step read.
    """
    async with _Window[bytes](block) as window:
        asked = start
        while asked < end or window:
            while asked < end and not window.full:
                window.ask(_whole(file, asked, min(block, end - asked)))
                asked += block
            async with calling(Step.READ, seconds):
                piece = await window.oldest()
            if piece:
                yield piece


async def _whole(file: asyncssh.SFTPClientFile, offset: int, size: int) -> bytes:
    """A block, however few bytes of it the server sends at once (it may send fewer than asked)."""
    data = b""
    while len(data) < size:
        more: bytes = await file.read(size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
