"""Cuts a file's bytes into the blocks that a protocol sends."""

from collections.abc import AsyncGenerator, AsyncIterator


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
