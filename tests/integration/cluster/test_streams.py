"""The exporter keeps its streams on a cluster of NATS servers: it creates them, and adds replicas to older ones."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from deploy.local.servers import HOST, free_port, nats_program
from services.chassis.jetstream import JetStream, connecting
from services.exporter.jobs.streams import STREAMS, keep_streams
from tests.integration.cluster.data_plane import running
from tests.integration.exporting import eventually

SERVERS = 3


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[str]:
    """Three servers that form a cluster."""
    clients, routes = ([free_port() for _ in range(SERVERS)] for _ in range(2))
    with ExitStack() as stack:
        for number, (client, route) in enumerate(zip(clients, routes, strict=True)):
            file = tmp_path / f"nats-{number}.conf"
            file.write_text(
                f"server_name: nats-{number}\nlisten: {HOST}:{client}\n"
                f"jetstream {{ store_dir: {tmp_path / str(number)} }}\n"
                f"cluster {{ name: tests, listen: {HOST}:{route}\n"
                f"routes: [{', '.join(f'nats://{HOST}:{port}' for port in routes)}] }}\n"
            )
            stack.enter_context(running([nats_program(), "--config", file], tmp_path / f"nats-{number}.log"))
        yield ",".join(f"nats://{HOST}:{port}" for port in clients)


@asynccontextmanager
async def client_of(urls: str) -> AsyncIterator[Client]:
    """A client of the cluster, which may still be starting."""
    client = await nats.connect(urls.split(","), max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    try:
        yield client
    finally:
        await client.close()


async def has_replicas(context: JetStreamContext, wanted: int, messages: int) -> None:
    """Wait until the cluster says so of both streams, and how many messages are in that of the events."""

    async def says_so() -> bool:
        try:
            found = [await context.stream_info(stream.name) for stream in STREAMS]
        except (nats.errors.Error, TimeoutError):  # a stream has no leader at the moment
            return False
        return {one.config.num_replicas for one in found} == {wanted} and found[1].state.messages == messages

    await eventually(f"both streams have {wanted} replicas", says_so)


async def kept(connection: JetStream, number: int) -> None:
    """Keep the streams as the exporter does, until a leader of the cluster has done it."""

    async def try_it() -> bool:
        try:
            await keep_streams(connection, number)
        except (nats.errors.Error, TimeoutError):  # the exporter's loop logs it and tries again
            return False
        return connection.is_connected

    await eventually(f"the streams have {number} replicas", try_it)


async def test_without_a_server_nothing_happens() -> None:
    async with connecting(f"nats://{HOST}:{free_port()}", name="exporter") as connection:
        await keep_streams(connection, SERVERS)


async def test_streams_are_created_with_replicas_and_one_with_fewer_gets_them(urls: str) -> None:
    async with connecting(urls, name="exporter") as connection, client_of(urls) as client:
        context = client.jetstream(timeout=30.0)
        await kept(connection, 1)
        await has_replicas(context, 1, messages=0)
        await context.publish(f"{STREAMS[1].subjects[:-1]}completed", b"kept")
        await kept(connection, SERVERS)
        await has_replicas(context, SERVERS, messages=1)
        await kept(connection, 1)  # an operator's larger number stays
        await has_replicas(context, SERVERS, messages=1)
        await context.delete_stream(STREAMS[0].name)
        await kept(connection, SERVERS)
        await has_replicas(context, SERVERS, messages=1)
