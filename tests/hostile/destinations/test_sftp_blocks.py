"""An SFTP server cannot make the delivery service send a request for each byte."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from services.delivery.destinations.kit.blocks import blocks
from services.delivery.destinations.sftp import transfer

SIZE = 4 * 1024 * 1024


class CountingFile:
    """Records the size of each write, and the largest number of writes in flight."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.in_flight = self.most = 0

    async def write(self, data: bytes, offset: int) -> int:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.sizes.append(len(data))
        await asyncio.sleep(0)
        self.in_flight -= 1
        return len(data)


async def test_one_byte_blocks_are_not_used_and_requests_in_flight_are_limited() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield bytes(SIZE)

    block = transfer.block_size(1)
    file = CountingFile()
    await transfer.write(cast("Any", file), blocks(source(), block), 0, block, 10.0, lambda _: None)
    assert min(file.sizes) == 4096
    assert file.most <= 128
    assert sum(file.sizes) == SIZE
