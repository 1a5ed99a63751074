"""JetStream as it breaks: servers that are away, consumers and streams that vanish."""

import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from deploy.local.servers import NatsServer, free_port
from services.chassis.faults import Unavailable
from services.chassis.jetstream import Inbox, JetStream, Stream, connecting
from tests.integration.exporting import eventually
from tests.waiting import DEADLINE


@pytest.fixture
def stream() -> Stream:
    name = uuid.uuid4().hex
    return Stream(f"S{name}", f"s.{name}", work_queue=True)


@pytest.fixture
async def connection(nats_url: str) -> AsyncIterator[JetStream]:
    async with connecting(nats_url, name="tests") as made:
        await connected(made)
        yield made


async def connected(connection: JetStream) -> None:
    async def holds() -> bool:
        return connection.is_connected

    await eventually("it is connected", holds)


async def received(inbox: Inbox, within: float = 15.0) -> bytes:
    """The next message's payload, acknowledged."""
    message = await eventually("a message comes", inbox.next, within)
    await message.ack()
    return bytes(message.data)


async def test_messages_arrive_in_order_and_the_first_user_creates_the_stream(
    connection: JetStream, stream: Stream
) -> None:
    for payload in (b"1", b"2", b"3"):
        await connection.publish(stream, stream.subjects, payload)
    inbox = Inbox(connection, stream, "w", ack_wait=5.0)
    assert [await received(inbox) for _ in range(3)] == [b"1", b"2", b"3"]
    asked = time.monotonic()
    assert await inbox.next() is None
    assert time.monotonic() - asked > 0.5  # it waits for one, and does not spin


async def test_an_unacknowledged_message_is_redelivered(connection: JetStream, stream: Stream) -> None:
    inbox = Inbox(connection, stream, "w", ack_wait=0.5)
    await connection.publish(stream, stream.subjects, b"1")
    assert (await eventually("it comes", inbox.next)).data == b"1"
    assert await received(inbox) == b"1"


@pytest.mark.parametrize("lost", ["consumer", "stream"])
async def test_an_inbox_mends_what_was_deleted_without_spinning(
    connection: JetStream, nats_url: str, stream: Stream, lost: str
) -> None:
    inbox = Inbox(connection, stream, "w", ack_wait=5.0)
    assert await inbox.next() is None
    client = await nats.connect(nats_url)
    for _ in range(2):
        if lost == "stream":
            await client.jetstream().delete_stream(stream.name)
        else:
            await client.jetstream().delete_consumer(stream.name, "w")
        await connection.publish(stream, stream.subjects, b"1")
        asked, calls = time.monotonic(), 0
        while (message := await inbox.next()) is None:
            calls += 1
            assert time.monotonic() - asked < DEADLINE
        await message.ack()
        assert calls <= 2 + 5 * (time.monotonic() - asked)
    await client.close()


async def test_publishing_without_a_server_is_unavailable_immediately(stream: Stream) -> None:
    async with connecting(f"nats://127.0.0.1:{free_port()}", name="tests") as connection:
        with pytest.raises(Unavailable):
            connection.publish(stream, stream.subjects, b"1").send(None)  # fails in its first step, without any wait
        inbox = Inbox(connection, stream, "w", ack_wait=5.0)
        assert await inbox.next() is None


async def test_the_second_of_two_servers_is_found(nats_url: str, stream: Stream) -> None:
    async with connecting(f"nats://127.0.0.1:{free_port()}, {nats_url}", name="tests") as connection:
        await connected(connection)
        await connection.publish(stream, stream.subjects, b"1")


async def test_an_inbox_outlives_a_server_that_lost_its_store(tmp_path: Path, stream: Stream) -> None:
    server = NatsServer(tmp_path / "one", free_port())
    server.start()
    async with connecting(server.url, name="tests") as connection:
        await connected(connection)
        inbox = Inbox(connection, stream, "w", ack_wait=5.0)
        await connection.publish(stream, stream.subjects, b"1")
        assert await received(inbox) == b"1"
        server.kill()
        empty = NatsServer(tmp_path / "two", server.port)
        empty.start()
        try:

            async def published() -> bool:
                try:
                    await connection.publish(stream, stream.subjects, b"2")
                except Unavailable:
                    return False
                return True

            await eventually("a message is taken", published)
            assert await received(inbox) == b"2"
        finally:
            empty.stop()


async def test_a_lost_stream_is_created_again_although_somebody_listens_to_its_subject(
    connection: JetStream, nats_url: str, stream: Stream
) -> None:
    async def ignore(message: Msg) -> None:
        pass

    await connection.publish(stream, stream.subjects, b"1")
    await connection.listen(stream.subjects, ignore)
    client = await nats.connect(nats_url)
    await client.jetstream().delete_stream(stream.name)
    await connection.publish(stream, stream.subjects, b"2")
    assert await connection.count(stream) == 1
    await client.close()
