"""Services under mTLS in the test's own event loop, and channels of other clients to them."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from google.protobuf.message import Message

from services.chassis import mongo
from services.chassis.service_runtime import Running
from services.delivery import app as delivery_app
from services.delivery.settings import DeliverySettings
from services.exporter import app as exporter_app
from services.exporter.settings import ExporterSettings
from services.gateway import app as gateway_app
from services.gateway.auth.api_keys import ApiKey, digest, new_secret
from services.gateway.auth.key_store import KeyStore
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
from tests.integration.exporting import products

Method = Any  # of grpcio's stubs, whose types differ for each
Ask = Callable[[grpc.aio.Channel], tuple[Method, Message]]


def exporter_method(channel: grpc.aio.Channel) -> tuple[Method, Message]:
    return exporter_pb2_grpc.ExporterServiceStub(channel).ListFormats, exporter_pb2.ListFormatsRequest()


def delivery_method(channel: grpc.aio.Channel) -> tuple[Method, Message]:
    request = delivery_pb2.GetPlatformUsageRequest(tenant="t")
    return delivery_pb2_grpc.DeliveryServiceStub(channel).GetPlatformUsage, request


def scheduler_method(channel: grpc.aio.Channel) -> tuple[Method, Message]:
    request = scheduler_pb2.PreviewScheduleRequest(cron_expression="0 5 * * *", timezone="UTC", count=1)
    return scheduler_pb2_grpc.SchedulerServiceStub(channel).PreviewSchedule, request


class Services:
    """Builds the services against the tests' servers, each with a certificate of its own.

    Args:
        logins: settings of single services.
    """

    def __init__(
        self,
        mongo_uri: str,
        nats_url: str,
        folder: Path,
        authority: Authority,
        logins: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.mounts = {name: Mount(folder / name) for name in ("gateway", "exporter", "delivery", "scheduler")}
        for name, mount in self.mounts.items():
            mount.write(authority.issue(name=name), authority.pem)
        self._shared: dict[str, Any] = {"mongodb_uri": mongo_uri, "nats_url": nats_url}
        self._logins = logins or {}
        self._store = {"artifacts_url": (folder / "artifacts").as_uri()}
        self._ports: dict[str, Any] = {"grpc_port": 0, "metrics_port": 0, "shutdown_grace": 1.0}

    def exporter(self, **more: Any) -> AbstractAsyncContextManager[Running]:
        settings = {"worker_jobs": 0, **self._of("exporter"), **self._store, **self._ports, **more}
        return exporter_app.build(ExporterSettings(**settings))

    def delivery(self, exporter_port: int = 1, **more: Any) -> AbstractAsyncContextManager[Running]:
        settings = {**self._of("delivery"), **self._store, **self._ports, "master_keys": master_keys(1), **more}
        return delivery_app.build(DeliverySettings(exporter_address=f"127.0.0.1:{exporter_port}", **settings))

    def scheduler(self, exporter_port: int = 1, delivery_port: int = 1) -> AbstractAsyncContextManager[Running]:
        addresses = {"exporter": exporter_port, "delivery": delivery_port}
        settings: dict[str, Any] = {f"{name}_address": f"127.0.0.1:{port}" for name, port in addresses.items()}
        return scheduler_app.build(SchedulerSettings(**settings, **self._of("scheduler"), **self._ports))

    def gateway(self, exporter_port: int, **more: Any) -> AbstractAsyncContextManager[gateway_app.Running]:
        settings = {**self._of("gateway"), **self._store, "exporter_address": f"127.0.0.1:{exporter_port}", **more}
        return gateway_app.build(
            GatewaySettings(
                gateway_port=0, metrics_port=0, signing_key="a signing key for tests, not a secret", **settings
            )
        )

    @asynccontextmanager
    async def rest(self, key: str) -> AsyncIterator[aiohttp.ClientSession]:
        """All four services, and a REST client with this API key; its paths are relative to `/api/v1/`."""
        async with (
            self.exporter() as exporter,
            self.delivery(exporter.rpc_port) as delivery,
            self.scheduler(exporter.rpc_port, delivery.rpc_port) as scheduler,
            self.gateway(
                exporter.rpc_port,
                delivery_address=f"127.0.0.1:{delivery.rpc_port}",
                scheduler_address=f"127.0.0.1:{scheduler.rpc_port}",
            ) as gateway,
            aiohttp.ClientSession(
                f"http://127.0.0.1:{gateway.port}/api/v1/", headers={"Authorization": f"Bearer {key}"}
            ) as session,
        ):
            yield session

    def _of(self, name: str) -> dict[str, Any]:
        return {**self._shared, **self.mounts[name].settings, **self._logins.get(name, {})}


@asynccontextmanager
async def channel(port: int, trusted: Authority, shown: Pair | None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of grpcio's own, not the services'."""
    pair = (shown.key, shown.certificate) if shown else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.pem, *pair)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as opened:
        yield opened


async def is_refused(method: Method, request: Message) -> bool:
    """Whether the server does not even take the connection."""
    try:
        await method(request, timeout=5)
    except grpc.aio.AioRpcError as exc:
        return exc.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def fill(uri: str, tenant: str) -> None:
    """A catalogue of one product."""
    client = mongo.connect(uri, app="tests")
    await client[f"catalogue_{tenant}"]["products"].insert_many(products(1))
    client.close()


async def api_key(uri: str, tenant: str) -> str:
    """A new API key."""
    client = mongo.connect(uri, app="tests")
    secret = new_secret()
    key = ApiKey(secret.id, tenant, "tests", frozenset("*"), digest(secret.secret), datetime.now(UTC), None)
    await KeyStore(client["gateway"]).add(key)
    client.close()
    return str(secret)
