"""mTLS between services: who is answered, by every service, and by whose certificate a server is known."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from services.chassis.faults import Unavailable
from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import tls
from services.chassis.rpc.client import Caller
from services.chassis.settings import ProcessSettings
from tests.certificates import Authority, Mount
from tests.integration.chassis.certified import (
    Ask,
    Services,
    api_key,
    channel,
    delivery_method,
    exporter_method,
    fill,
    is_refused,
    scheduler_method,
)
from tests.integration.exporting import DEADLINE, eventually, new_tenant


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


async def test_every_service_reaches_those_it_calls(services: Services, clean_uri: str) -> None:
    tenant = new_tenant()
    await fill(clean_uri, tenant)
    async with services.rest(await api_key(clean_uri, tenant)) as session:

        async def post(path: str, body: object) -> tuple[int, Any]:
            async with session.post(path, json=body) as answer:
                return answer.status, await answer.json(content_type=None)

        status, job = await post("exports/csv/products", {})
        assert status == 202, job
        config = {"host": "sftp.example.com", "username": "shop", "password": "secret"}
        status, platform = await post("exports/platforms", {"name": "Shop", "platform_type": "sftp", "config": config})
        assert status == 201, platform
        # Delivery asks the exporter for the job; it is not finished, since nobody works on it.
        status, refused = await post(f"exports/jobs/{job['id']}/deliveries", {"platform_id": platform["id"]})
        assert (status, refused["code"]) == (409, "job_has_no_file"), refused
        # The scheduler asks the exporter about the options, and delivery about the platform.
        schedule = {"schedule_name": "Nightly", "cron_expression": "0 5 * * *", "platform_id": platform["id"]}
        status, refused = await post("exports/schedules", {**schedule, "options": {"delimiter": "?"}})
        assert (status, refused["errors"][0]["field"]) == (422, "options.delimiter"), refused
        status, made = await post("exports/schedules", schedule)
        assert status == 201, made


async def test_a_server_whose_certificate_is_for_another_name_is_not_talked_to(
    services: Services, authority: Authority
) -> None:
    mount = services.mounts["exporter"]
    mount.write(authority.issue("exporter.catalog-exports"), authority.pem)
    async with (
        services.exporter() as running,
        tls.certificates(ProcessSettings(**mount.settings)) as certificates,
        rpc_client.channel(f"127.0.0.1:{running.rpc_port}", certificates) as opened,
    ):
        method, request = exporter_method(opened)
        with pytest.raises(Unavailable):
            await Caller("exporter", deadline=5).call(method, request)
        mount.write(authority.issue("127.0.0.1"), authority.pem)
        # Both sides take the new files over; that the same stub is answered now shows that the name was the reason.
        await eventually("it is answered", lambda: _answered(opened))


async def _answered(opened: grpc.aio.Channel) -> bool:
    method, request = exporter_method(opened)
    try:
        await Caller("exporter", deadline=5).call(method, request)
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("name", ["exporter", "delivery", "scheduler", "gateway"])
async def test_a_service_does_not_start_without_its_configured_files(services: Services, name: str) -> None:
    (services.mounts[name].folder / "tls.key").unlink()
    starting: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
        "exporter": services.exporter,
        "delivery": services.delivery,
        "scheduler": services.scheduler,
        "gateway": lambda: services.gateway(1),
    }
    with pytest.raises(OSError, match=r"tls\.key"):
        async with starting[name]():
            pass
