"""The bytes of a file as a stream: cut into the blocks that a protocol sends, limited, or hashed."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing


async def blocks(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in blocks of exactly `size` bytes, the last one shorter; no block if there are no bytes."""
    held = bytearray()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            room = size - len(held)
            if not held and len(rest) >= size:
                yield bytes(rest[:size])
            else:
                held += rest[:room]
                if len(held) == size:
                    block = bytes(held)
                    held.clear()  # before the yield, since large blocks are held for long
                    yield block
            rest = rest[room:]
    if held:
        yield bytes(held)


async def hexdigest(chunks: AsyncIterator[bytes], digest: "hashlib._Hash") -> str:
    """The hash of all chunks, in hex."""
    async for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


async def at_most(chunks: AsyncGenerator[bytes, None], size: int) -> AsyncGenerator[bytes, None]:
    """The chunks up to the one that exceeds `size` bytes, so that an endless file is noticed and not read on."""
    received = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk
            received += len(chunk)
            if received > size:
                return
