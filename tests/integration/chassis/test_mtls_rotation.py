"""Certificates and CA are changed while calls go on: none of them fails, and what is broken is not taken."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import ssl
from collections.abc import Callable

import grpc
import pytest

from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import tls
from services.chassis.rpc.client import Caller
from services.chassis.settings import ProcessSettings
from services.wire import (
    exporter_pb2,
    exporter_pb2_grpc,
)
from tests.certificates import Authority, Pair
from tests.integration.chassis.certified import (
    Services,
    channel,
    exporter_method,
    fill,
    is_refused,
)
from tests.integration.exporting import DEADLINE, eventually, new_tenant


@pytest.mark.full
async def test_no_call_fails_while_certificates_and_ca_are_changed(services: Services, authority: Authority) -> None:
    mount, successor = services.mounts["exporter"], Authority()
    mount.write(authority.issue(), authority.pem)  # of the gateway's name, since the client shows it too
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
    mount = services.mounts["gateway"]
    mount.write(authority.issue(name="shop"), authority.pem)
    async with (
        services.exporter(grpc_callers="shop=*") as running,
        tls.certificates(ProcessSettings(**mount.settings)) as certificates,
        rpc_client.channel(f"127.0.0.1:{running.rpc_port}", certificates) as opened,
    ):
        assert certificates is not None
        stub = exporter_pb2_grpc.ExporterServiceStub(opened)
        tenant = new_tenant()
        await fill(clean_uri, tenant)
        job = (await stub.CreateJob(exporter_pb2.CreateJobRequest(tenant=tenant, format="csv"), timeout=DEADLINE)).job
        watching = stub.WatchJob(exporter_pb2.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        assert await watching.read() == exporter_pb2.WatchJobResponse(job=job)
        first = opened._channel  # type: ignore[attr-defined]  # of the stand-in; nothing else tells when it is closed
        pair = authority.issue(name="shop")
        mount.write(pair, authority.pem)
        await eventually("the client has it", lambda: _is(certificates, pair))
        await stub.GetJob(exporter_pb2.GetJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        await asyncio.sleep(1.5)  # the old channel would be closed by now, but for the watch
        await stub.CancelJob(exporter_pb2.CancelJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        last = await watching.read()
        assert isinstance(last, exporter_pb2.WatchJobResponse) and last.job.state == exporter_pb2.JOB_STATE_CANCELLED
        assert await watching.read() is grpc.aio.EOF
        await eventually("the old channel is closed", lambda: _is_closed(first))


async def _is_closed(channel: grpc.aio.Channel) -> bool:
    return channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_service_keeps_its_old_certificate_when_the_new_one_is_broken(
    services: Services, authority: Authority
) -> None:
    old = authority.issue()
    services.mounts["exporter"].write(old, authority.pem)
    async with services.exporter() as running:
        services.mounts["exporter"].write(Pair(authority.issue().certificate, old.key), authority.pem)
        await asyncio.sleep(2 * tls.RELOAD_SECONDS)  # nothing must happen, so there is nothing to wait for
        assert await _shows(running.rpc_port, old)
        async with channel(running.rpc_port, authority, authority.issue()) as good:
            method, request = exporter_method(good)
            assert await method(request, timeout=DEADLINE)
