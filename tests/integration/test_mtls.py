"""mTLS between services: who is answered, by every service, and what happens while certificates are changed."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf.message import Message

from services.chassis import mongo, rpc_client, tls
from services.chassis.faults import Unavailable
from services.chassis.rpc_client import Caller
from services.chassis.settings import ProcessSettings
from services.delivery import app as delivery_app
from services.delivery.settings import DeliverySettings
from services.exporter import app as exporter_app
from services.exporter.settings import ExporterSettings
from services.gateway import app as gateway_app
from services.gateway.settings import GatewaySettings
from services.scheduler import app as scheduler_app
from services.scheduler.settings import SchedulerSettings
from services.wire import (
    delivery_pb2,
    delivery_pb2_grpc,
    exporter_pb2,
    exporter_pb2_grpc,
    scheduler_pb2,
    scheduler_pb2_grpc,
)
from tests.certificates import Authority, Mount, Pair
from tests.integration.delivering import master_keys
from tests.integration.exporting import DEADLINE, eventually, new_tenant, products

Method = Any  # of grpcio's stubs, whose types differ for each
Ask = Callable[[grpc.aio.Channel], tuple[Method, Message]]


def exporter_method(channel: grpc.aio.Channel) -> tuple[Method, Message]:
    return exporter_pb2_grpc.ExporterStub(channel).ListFormats, exporter_pb2.ListFormatsRequest()


def delivery_method(channel: grpc.aio.Channel) -> tuple[Method, Message]:
    return delivery_pb2_grpc.DeliveryStub(channel).ListPlatformTypes, delivery_pb2.ListPlatformTypesRequest()


def scheduler_method(channel: grpc.aio.Channel) -> tuple[Method, Message]:
    request = scheduler_pb2.PreviewRequest(cron_expression="0 5 * * *", timezone="UTC", count=1)
    return scheduler_pb2_grpc.SchedulerStub(channel).Preview, request


class Services:
    """Builds the services against the tests' servers, with the certificates of `mount`."""

    def __init__(self, mongo_uri: str, nats_url: str, folder: Path, mount: Mount) -> None:
        self.mount = mount
        self._shared: dict[str, Any] = {"mongodb_uri": mongo_uri, "nats_url": nats_url, **mount.settings}
        self._store = {"artifacts_url": (folder / "artifacts").as_uri()}
        self._ports: dict[str, Any] = {"grpc_port": 0, "metrics_port": 0, "shutdown_grace": 1.0}

    def exporter(self) -> AbstractAsyncContextManager[exporter_app.Running]:
        settings = {**self._shared, **self._store, **self._ports, "worker_jobs": 0}
        return exporter_app.build(ExporterSettings(**settings))

    def delivery(self) -> AbstractAsyncContextManager[delivery_app.Running]:
        settings = {**self._shared, **self._store, **self._ports, "master_keys": master_keys(1)}
        return delivery_app.build(DeliverySettings(**settings))

    def scheduler(self) -> AbstractAsyncContextManager[scheduler_app.Running]:
        return scheduler_app.build(SchedulerSettings(**self._shared, **self._ports))

    def gateway(self, exporter_port: int, **more: Any) -> AbstractAsyncContextManager[gateway_app.Running]:
        settings = {**self._shared, **self._store, "exporter_address": f"127.0.0.1:{exporter_port}", **more}
        return gateway_app.build(GatewaySettings(gateway_port=0, signing_key="a signing key for tests", **settings))


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def services(clean_uri: str, nats_url: str, tmp_path: Path, authority: Authority) -> Services:
    mount = Mount(tmp_path / "tls")
    mount.write(authority.issue(), authority.pem)
    return Services(clean_uri, nats_url, tmp_path, mount)


@asynccontextmanager
async def channel(port: int, trusted: Authority, shown: Pair | None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of grpcio's own, not the services'."""
    pair = (shown.key, shown.certificate) if shown else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.pem, *pair)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as opened:
        yield opened


async def is_refused(method: Method, request: Message) -> bool:
    try:
        await method(request, timeout=5)
    except grpc.aio.AioRpcError as exc:
        return exc.code() is grpc.StatusCode.UNAVAILABLE
    return False


@pytest.mark.parametrize(
    ("name", "ask"),
    [("exporter", exporter_method), ("delivery", delivery_method), ("scheduler", scheduler_method)],
)
async def test_only_a_client_with_a_certificate_of_the_ca_is_answered(
    services: Services, authority: Authority, name: str, ask: Ask
) -> None:
    serving: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
        "exporter": services.exporter,
        "delivery": services.delivery,
        "scheduler": services.scheduler,
    }
    async with serving[name]() as running:
        async with channel(running.rpc_port, authority, authority.issue()) as good:
            method, request = ask(good)
            assert await method(request, timeout=DEADLINE)
        async with channel(running.rpc_port, authority, None) as bare:
            assert await is_refused(*ask(bare))
        # Of the same name, so only the signature tells the two CAs apart.
        async with channel(running.rpc_port, authority, Authority().issue()) as stranger:
            assert await is_refused(*ask(stranger))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.rpc_port}") as plain:
            assert await is_refused(*ask(plain))


async def test_the_gateway_reaches_services_under_mtls_and_is_not_ready_without_its_certificate(
    services: Services, tmp_path: Path
) -> None:
    stranger = Mount(tmp_path / "stranger")
    other = Authority()
    stranger.write(other.issue(), other.pem)
    async with (
        services.exporter() as exporter,
        services.gateway(exporter.rpc_port) as good,
        services.gateway(exporter.rpc_port, **stranger.settings) as wrong,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"http://127.0.0.1:{good.port}/readyz") as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(f"http://127.0.0.1:{wrong.port}/readyz") as answer:
            assert answer.status == 503, await answer.text()


async def test_a_server_whose_certificate_is_for_another_name_is_not_talked_to(
    services: Services, authority: Authority
) -> None:
    services.mount.write(authority.issue("exporter.catalog-exports"), authority.pem)
    async with (
        services.exporter() as running,
        tls.certificates(ProcessSettings(**services.mount.settings)) as certificates,
        rpc_client.channel(f"127.0.0.1:{running.rpc_port}", certificates) as opened,
    ):
        method, request = exporter_method(opened)
        with pytest.raises(Unavailable):
            await Caller("exporter", deadline=5).call(method, request)
        services.mount.write(authority.issue("127.0.0.1"), authority.pem)
        # Both sides take the new files over; that the same stub is answered now shows that the name was the reason.
        await eventually("it is answered", lambda: _answered(opened))


async def _answered(opened: grpc.aio.Channel) -> bool:
    method, request = exporter_method(opened)
    try:
        await Caller("exporter", deadline=5).call(method, request)
    except Unavailable:
        return False
    return True


async def test_no_call_fails_while_certificates_and_ca_are_changed(services: Services, authority: Authority) -> None:
    mount, successor = services.mount, Authority()
    both = authority.pem + successor.pem
    async with (
        services.exporter() as running,
        tls.certificates(ProcessSettings(**mount.settings)) as certificates,
        rpc_client.channel(f"127.0.0.1:{running.rpc_port}", certificates) as opened,
    ):
        assert certificates is not None
        calls = 0
        stop = asyncio.Event()
        method, request = exporter_method(opened)

        async def go_on() -> None:
            nonlocal calls
            caller = Caller("exporter", deadline=5)
            while not stop.is_set():
                await caller.call(method, request)
                calls += 1

        async def change(pair: Pair, authorities: bytes) -> None:
            mount.write(pair, authorities)
            await eventually("the server shows it", lambda: _shows(running.rpc_port, pair))
            await eventually("the client has it", lambda: _is(certificates, pair))
            before = calls
            await eventually("calls go on", lambda: _more(lambda: calls, before + 50))

        callers = [asyncio.create_task(go_on()) for _ in range(4)]
        await change(authority.issue(), both)
        await change(successor.issue(), both)
        await change(successor.issue(), successor.pem)
        stop.set()
        await asyncio.gather(*callers)
        async with channel(running.rpc_port, successor, authority.issue()) as late:
            assert await is_refused(*exporter_method(late))


async def _shows(port: int, pair: Pair) -> bool:
    """Whether this is the certificate a new connection is shown."""
    shown = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return ssl.PEM_cert_to_DER_cert(shown) == ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


async def _is(certificates: tls.Certificates, pair: Pair) -> bool:
    return certificates.current.certificate == pair.certificate


async def _more(count: Callable[[], int], than: int) -> bool:
    return count() > than


async def test_a_call_under_way_ends_where_it_began_and_its_channel_is_closed_then(
    services: Services, authority: Authority, clean_uri: str
) -> None:
    async with (
        services.exporter() as running,
        tls.certificates(ProcessSettings(**services.mount.settings)) as certificates,
        rpc_client.channel(f"127.0.0.1:{running.rpc_port}", certificates) as opened,
    ):
        assert certificates is not None
        stub = exporter_pb2_grpc.ExporterStub(opened)
        tenant = new_tenant()
        await _fill(clean_uri, tenant)
        job = await stub.CreateJob(exporter_pb2.CreateJobRequest(tenant=tenant, format="csv"), timeout=DEADLINE)
        watching = stub.WatchJob(exporter_pb2.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        assert await watching.read() == job
        first = opened._channel  # type: ignore[attr-defined]  # of the stand-in; nothing else tells when it is closed
        pair = authority.issue()
        services.mount.write(pair, authority.pem)
        await eventually("the client has it", lambda: _is(certificates, pair))
        await stub.GetJob(exporter_pb2.GetJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        await asyncio.sleep(1.5)  # the old channel would be closed by now, but for the watch
        await stub.CancelJob(exporter_pb2.CancelJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        last = await watching.read()
        assert isinstance(last, exporter_pb2.Job) and last.state == exporter_pb2.JOB_STATE_CANCELLED
        assert await watching.read() is grpc.aio.EOF
        await eventually("the old channel is closed", lambda: _is_closed(first))


async def _is_closed(channel: grpc.aio.Channel) -> bool:
    return channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def _fill(uri: str, tenant: str) -> None:
    client = mongo.connect(uri, app="tests")
    await client[f"catalogue_{tenant}"]["products"].insert_many(products(1))
    client.close()


async def test_a_service_goes_on_under_its_old_certificate_when_the_new_one_is_broken(
    services: Services, authority: Authority
) -> None:
    old = authority.issue()
    services.mount.write(old, authority.pem)
    async with services.exporter() as running:
        services.mount.write(Pair(authority.issue().certificate, old.key), authority.pem)
        await asyncio.sleep(2 * tls.LOOK_SECONDS)  # nothing must happen, so there is nothing to wait for
        assert await _shows(running.rpc_port, old)
        async with channel(running.rpc_port, authority, authority.issue()) as good:
            method, request = exporter_method(good)
            assert await method(request, timeout=DEADLINE)


@pytest.mark.parametrize("name", ["exporter", "delivery", "scheduler", "gateway"])
async def test_a_service_does_not_start_without_the_files_it_was_told_of(services: Services, name: str) -> None:
    (services.mount.folder / "tls.key").unlink()
    starting: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
        "exporter": services.exporter,
        "delivery": services.delivery,
        "scheduler": services.scheduler,
        "gateway": lambda: services.gateway(1),
    }
    with pytest.raises(OSError, match=r"tls\.key"):
        async with starting[name]():
            pass
