"""Health on a plain port of its own, for kubelet's probes: what it answers, when, and that nothing else is there."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from deploy.local.servers import Mongod
from services.chassis import service_runtime
from services.exporter.app import SERVICE
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc
from tests.certificates import Authority, Mount
from tests.integration.exporting import DEADLINE, eventually, exporter, new_tenant, products
from tests.tcp_proxy import TcpProxy

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def status(channel: grpc.aio.Channel, service: str = "") -> health_pb2.HealthCheckResponse.ServingStatus:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=DEADLINE)).status


def plain(port: int | None) -> grpc.aio.Channel:
    assert port is not None
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


async def test_under_mtls_it_answers_without_tls_and_has_nothing_but_health(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    authority, mount = Authority(), Mount(tmp_path / "tls")
    mount.write(authority.issue(), authority.pem)
    more = {"health_port": 0, "worker_jobs": 0, **mount.settings}
    async with (
        exporter(clean_uri, nats_url, tmp_path, **more) as running,
        plain(running.running.health_port) as channel,
    ):
        assert [await status(channel, name) for name in ("", SERVICE, "liveness")] == [SERVING] * 3
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await exporter_pb2_grpc.ExporterServiceStub(channel).ListFormats(pb.ListFormatsRequest(), timeout=DEADLINE)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            stream = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(timeout=DEADLINE)
            await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            await stream.read()
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_there_is_no_such_port_unless_it_is_asked_for(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0) as running:
        assert running.running.health_port is None
        assert await running.is_serving("liveness")


async def test_a_port_that_is_taken_is_an_error(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, health_port=0) as running:
        with pytest.raises(OSError, match="taken"):
            async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, health_port=running.running.health_port):
                pass


@pytest.mark.full
async def test_without_a_database_it_is_not_ready_and_alive_all_the_same(nats_url: str, tmp_path: Path) -> None:
    mongod = Mongod(tmp_path / "mongod")
    mongod.start()
    try:
        async with (
            exporter(mongod.uri, nats_url, tmp_path, worker_jobs=0, health_port=0) as running,
            plain(running.running.health_port) as channel,
        ):
            assert await status(channel) == SERVING
            await asyncio.to_thread(mongod.stop)
            assert await status(channel) == NOT_SERVING
            assert await status(channel, "liveness") == SERVING
    finally:
        mongod.stop()


async def test_who_leaves_says_so_here_too_and_is_alive_until_then(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    leave = asyncio.Event()
    started: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        more = {"worker_jobs": 0, "shutdown_notice": 2.0, "health_port": 0}
        async with exporter(clean_uri, nats_url, tmp_path, **more) as running:
            started.set_result(running.running.health_port)
            await leave.wait()

    serving = asyncio.create_task(serve())
    async with plain(await started) as channel:
        assert await status(channel) == SERVING
        leave.set()

        async def not_serving() -> bool:
            return bool(await status(channel) == NOT_SERVING)

        await eventually("it says that it leaves", not_serving)
        assert await status(channel, "liveness") == SERVING
        await serving


async def test_without_mongodb_a_service_starts_is_alive_and_becomes_ready_once_it_answers(
    mongod: Mongod, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_runtime, "PREPARE_SECONDS", 0.2)
    with TcpProxy("127.0.0.1", mongod.port) as proxy, capture_logs() as log:
        proxy.refuse()
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        async with exporter(uri, nats_url, tmp_path) as running:
            assert (await running.is_serving("liveness"), await running.is_serving()) == (True, False)
            proxy.heal()
            await eventually("it is ready", running.is_serving)
            tenant = new_tenant()
            await running.fill(tenant, products(1))
            await running.completed(tenant)
    said = [line["event"] for line in log]
    assert said.index("waiting_for_database") < said.index("database_prepared")
