"""An S3 server cannot fill the memory of the delivery service."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from werkzeug.wrappers import Request, Response

from services.delivery.destinations.contract import DestinationError
from services.delivery.destinations.s3.objects import MAX_PAGES
from tests.contract.destinations.payloads import MIB, File, SourceBroken, some
from tests.contract.destinations.rigs import Line, line_to
from tests.contract.destinations.rigs._moto import MotoRig
from tests.contract.destinations.targets import Target
from tests.tcp_proxy import TcpProxy

NAME = "products.csv"


@pytest.fixture(scope="module")
def rig() -> Iterator[MotoRig]:
    rig = MotoRig()
    rig.start()
    yield rig
    rig.stop()


class EndlessServer:
    """Answers every request with a body that never ends, and counts its bytes."""

    def __init__(self) -> None:
        self.sent = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n")
            while self.sent < 256 * MIB:
                writer.write(b"100000\r\n" + bytes(MIB) + b"\r\n")
                self.sent += MIB
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_no_more_than_8_mib_of_an_endless_answer_are_read(rig: MotoRig) -> None:
    server = EndlessServer()
    async with server.running():
        with TcpProxy("127.0.0.1", server.port) as proxy:
            target = Target(rig, Line(rig.config(proxy.port), proxy))
            with pytest.raises(DestinationError) as caught:
                async with target.session():
                    pass
    assert caught.value.transient
    assert server.sent < 64 * MIB  # 8 MiB, and what the buffers on the way hold


async def test_an_endless_list_of_parts_is_not_followed(rig: MotoRig) -> None:
    rig.clear()
    with line_to(rig) as line:
        target = Target(rig, line)
        file = File(some(MIB))
        file.broken_at = MIB // 2
        with pytest.raises(SourceBroken):
            await target.send(NAME, file)
        file.broken_at = None
        pages = 0

        def page(request: Request) -> Response | None:
            nonlocal pages
            if request.method != "GET" or "uploadId" not in request.args or pages > 3 * MAX_PAGES:
                return None
            pages += 1
            upload = re.escape(request.args["uploadId"])
            return Response(
                f"<ListPartsResult><UploadId>{upload}</UploadId><IsTruncated>true</IsTruncated>"
                f"<NextPartNumberMarker>{pages}</NextPartNumberMarker></ListPartsResult>"
            )

        rig.proxy.answers = page
        with pytest.raises(DestinationError) as caught:
            await target.send(NAME, file)
    assert caught.value.transient
    assert pages <= MAX_PAGES + 1


async def test_a_longer_object_than_its_size_says_is_not_read_to_its_end(rig: MotoRig) -> None:
    rig.clear()
    with line_to(rig) as line:
        target = Target(rig, line)
        rig.write(f"exports/shop/{NAME}", some(8 * MIB), etag="0123")
        file = File(some(MIB))
        async with target.session() as session:
            found = await session.find(NAME)
            assert found is not None
            smaller = type(found)(found.remote, MIB, {})
            before = line.faults.down if isinstance(line.faults, TcpProxy) else 0
            assert not await session.matches(smaller, file.payload())
        assert isinstance(line.faults, TcpProxy)
        assert line.faults.down - before < 6 * MIB
