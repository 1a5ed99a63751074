"""A live job has one wake-up in JetStream, so that the lag of the workers' consumer is the number of live jobs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig

from deploy.local.servers import NatsServer, free_port
from services.exporter.export.worker import CONSUMER
from services.exporter.jobs.dispatch import EXPORTS, wake_up_of
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import Exporter, eventually, exporter, new_tenant, products

JOBS = 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    started = NatsServer(tmp_path / "nats", free_port())
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    connected = await nats.connect(server.url)
    yield connected
    await connected.close()


async def lag(client: Client) -> int:
    """What KEDA reads; creates the consumer as the first worker does."""
    config = ConsumerConfig(durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=30.0)
    found = await client.jetstream().add_consumer(EXPORTS.name, config=config)
    return int(found.num_pending or 0) + int(found.num_ack_pending or 0)


async def with_jobs(running: Exporter) -> list[pb.Job]:
    tenant = new_tenant()
    await running.fill(tenant, products(10))
    return [await running.create(tenant) for _ in range(JOBS)]


async def dispatched(running: Exporter) -> bool:
    """Whether the stream has confirmed every wake-up."""
    return await running.jobs.count_documents({"dispatch_at": {"$exists": True}}) == 0


async def test_the_lag_is_the_number_of_live_jobs_however_often_they_are_published(
    clean_uri: str, server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with exporter(clean_uri, server.url, tmp_path, worker_jobs=0, dispatch_seconds=0.1) as accepting:
        first, *others = await with_jobs(accepting)
        for _ in range(3):
            await eventually("all are published", lambda: dispatched(accepting))
            assert await lag(client) == JOBS
            await accepting.jobs.update_many({}, [{"$set": {"dispatch_at": "$$NOW"}}])  # not confirmed, as far as known
        await accepting.cancel(first)

        async def is_removed() -> bool:
            return await lag(client) == JOBS - 1

        await eventually("the wake-up of the cancelled job is removed", is_removed)
    async with exporter(clean_uri, server.url, tmp_path, worker_jobs=2) as running:
        for job in others:
            await running.until(job, pb.JOB_STATE_COMPLETED)

        async def is_empty() -> bool:
            return (await client.jetstream().stream_info(EXPORTS.name)).state.messages == 0

        await eventually("no wake-up is left", is_empty)


async def test_lost_wake_ups_are_published_again(
    clean_uri: str, server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with exporter(clean_uri, server.url, tmp_path, worker_jobs=0, dispatch_seconds=0.1) as accepting:
        await with_jobs(accepting)
        await eventually("all are published", lambda: dispatched(accepting))
        await client.jetstream().delete_stream(EXPORTS.name)

        async def are_back() -> bool:
            return EXPORTS.name in await names(client) and await lag(client) == JOBS

        await eventually("all wake-ups are back", are_back)


async def names(client: Client) -> list[str | None]:
    return [found.config.name for found in await client.jetstream().streams_info()]


async def test_a_stream_of_an_older_version_is_changed_in_place(
    clean_uri: str, server: NatsServer, client: Client, tmp_path: Path
) -> None:
    jetstream, older = client.jetstream(), "exports.jobs"
    await jetstream.add_stream(
        StreamConfig(
            EXPORTS.name,
            subjects=[older],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.OLD,
            max_age=3_600.0,
        )
    )
    await jetstream.add_consumer(
        EXPORTS.name, config=ConsumerConfig(CONSUMER, ack_policy=AckPolicy.EXPLICIT, filter_subject=older)
    )
    for _ in range(3):
        await jetstream.publish(older, b"a job that has been published several times")
    async with exporter(clean_uri, server.url, tmp_path, worker_jobs=0) as accepting:
        jobs = await with_jobs(accepting)
        await eventually("all are published", lambda: dispatched(accepting))
        found = await jetstream.stream_info(EXPORTS.name)
        assert found.config.max_age == 3_600.0  # what an operator may have chosen stays
        assert found.state.messages == JOBS
    async with exporter(clean_uri, server.url, tmp_path, worker_jobs=1) as running:
        for job in jobs:
            await running.until(job, pb.JOB_STATE_COMPLETED)
    consumer = await jetstream.consumer_info(EXPORTS.name, CONSUMER)
    assert consumer.config.filter_subject == wake_up_of("*")
