"""A delivery service in the test's own event loop, beside an exporter, and what tests ask of it."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import base64
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc

from services.chassis import mongo
from services.chassis.service_runtime import Running
from services.delivery.app import build
from services.delivery.settings import DeliverySettings
from services.wire import delivery_pb2 as pb
from services.wire import delivery_pb2_grpc
from services.wire import exporter_pb2 as jobs_pb
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.exporting import DEADLINE, Exporter, eventually


def master_keys(*versions: int) -> str:
    """Keys for tests, the first one the current."""
    return ",".join(f"{version}:{base64.b64encode(bytes([version]) * 32).decode()}" for version in versions)


class Deliverer:
    """One running delivery service."""

    def __init__(self, running: Running, channel: grpc.aio.Channel, client: mongo.Client) -> None:
        self.running = running
        self.stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self.database = client["delivery"]

    async def create(
        self,
        tenant: str,
        config: Mapping[str, Any] | str,
        *,
        kind: str = "sftp",
        name: str = "Shop",
        is_active: bool | None = None,
        platform_id: str = "",
    ) -> pb.Platform:
        """Register a platform."""
        text = config if isinstance(config, str) else json.dumps(config)
        request = pb.CreatePlatformRequest(
            tenant=tenant, name=name, platform_type=kind, config_json=text, is_active=is_active, platform_id=platform_id
        )
        return (await self.stub.CreatePlatform(request, timeout=DEADLINE)).platform

    async def get(self, platform: pb.Platform) -> pb.Platform:
        """The platform as it is now."""
        request = pb.GetPlatformRequest(tenant=platform.tenant, platform_id=platform.id)
        return (await self.stub.GetPlatform(request, timeout=DEADLINE)).platform

    async def change(self, platform: pb.Platform, config: Mapping[str, Any] | None = None, **more: Any) -> pb.Platform:
        """Change the platform."""
        request = pb.UpdatePlatformRequest(tenant=platform.tenant, platform_id=platform.id, **more)
        if config is not None:
            request.config_json = json.dumps(config)
        return (await self.stub.UpdatePlatform(request, timeout=DEADLINE)).platform

    async def delete(self, platform: pb.Platform) -> None:
        """Forget the platform."""
        request = pb.DeletePlatformRequest(tenant=platform.tenant, platform_id=platform.id)
        await self.stub.DeletePlatform(request, timeout=DEADLINE)

    async def test(self, platform: pb.Platform) -> pb.TestPlatformResponse:
        """Try the platform out."""
        request = pb.TestPlatformRequest(tenant=platform.tenant, platform_id=platform.id)
        return await self.stub.TestPlatform(request, timeout=60)

    async def deliver(self, job: jobs_pb.Job, platform: pb.Platform) -> pb.Delivery:
        """Deliver the job's file again, or elsewhere."""
        request = pb.DeliverJobRequest(tenant=job.tenant, job_id=job.id, platform_id=platform.id)
        return (await self.stub.DeliverJob(request, timeout=DEADLINE)).delivery

    async def retry(self, delivery: pb.Delivery) -> pb.Delivery:
        """Start the failed delivery again."""
        request = pb.RetryDeliveryRequest(tenant=delivery.tenant, delivery_id=delivery.id)
        return (await self.stub.RetryDelivery(request, timeout=DEADLINE)).delivery

    async def deliveries(self, tenant: str, **more: Any) -> Sequence[pb.Delivery]:
        """The tenant's, newest first, 200 at most."""
        request = pb.ListDeliveriesRequest(tenant=tenant, page_size=200, **more)
        return (await self.stub.ListDeliveries(request, timeout=DEADLINE)).deliveries

    async def until(self, job: jobs_pb.Job, state: pb.DeliveryState.ValueType, within: float = DEADLINE) -> pb.Delivery:
        """The only delivery of the job once it is in this state."""

        async def reached() -> pb.Delivery | None:
            found = await self.deliveries(job.tenant, job_id=job.id)
            assert len(found) <= 1, found
            return found[0] if found and found[0].state == state else None

        found: pb.Delivery = await eventually(f"the delivery is {pb.DeliveryState.Name(state)}", reached, within)
        return found

    async def delivered(self, job: jobs_pb.Job, within: float = DEADLINE) -> pb.Delivery:
        """The only delivery of the job once it is delivered."""
        return await self.until(job, pb.DELIVERY_STATE_DELIVERED, within)

    async def failed(self, job: jobs_pb.Job, within: float = DEADLINE) -> pb.Delivery:
        """The only delivery of the job once it has failed."""
        return await self.until(job, pb.DELIVERY_STATE_FAILED, within)

    async def document(self, delivery: pb.Delivery) -> dict[str, Any]:
        """The delivery's document in MongoDB."""
        found = await self.database["deliveries"].find_one({"_id": delivery.id})
        assert found is not None
        return found

    async def metric(self, name: str) -> float:
        """A metric without labels, as Prometheus would read it."""

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.running.metrics_port}/metrics") as answer:
                return str(answer.read().decode())

        lines = (await asyncio.to_thread(read)).splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    async def fanned_out(self, job: jobs_pb.Job) -> None:
        """Return once the service has heard of the job."""

        async def is_done() -> bool:
            return await self.database["fan_outs"].find_one({"_id": job.id, "is_done": True}) is not None

        await eventually("the service has heard of the job", is_done)


@asynccontextmanager
async def deliverer(mongo_uri: str, nats_url: str, exporter: Exporter, **settings: Any) -> AsyncIterator[Deliverer]:
    """Start a delivery service with these settings on top of short pauses; the rules are the same."""
    chosen = {
        "mongodb_uri": mongo_uri,
        "nats_url": nats_url,
        "artifacts_url": exporter.folder.as_uri(),
        "exporter_address": f"127.0.0.1:{exporter.running.rpc_port}",
        "master_keys": master_keys(1),
        "egress_allow": "127.0.0.0/8",
        "grpc_port": 0,
        "metrics_port": 0,
        "delivery_lease_seconds": 12.0,
        "delivery_retry_seconds": 0.2,
        "reconcile_seconds": 1.0,
        "shutdown_grace": 5.0,
        **settings,
    }
    client = mongo.connect(mongo_uri, app="tests")
    try:
        async with (
            build(DeliverySettings(**chosen)) as running,
            grpc.aio.insecure_channel(f"127.0.0.1:{running.rpc_port}") as channel,
        ):
            yield Deliverer(running, channel, client)
    finally:
        client.close()


class DeliveryFixture:
    """A tenant with a small catalogue, an exporter, a delivery service, and an SFTP server to deliver to."""

    def __init__(self, tenant: str, exporter: Exporter, deliverer: Deliverer, rig: SftpRig) -> None:
        self.tenant = tenant
        self.exporter = exporter
        self.deliverer = deliverer
        self.rig = rig

    async def platform(self, config: Mapping[str, Any] | None = None, **more: Any) -> pb.Platform:
        """A platform at the SFTP server; `config` comes on top of what works."""
        return await self.deliverer.create(self.tenant, {**self.rig.config(), **(config or {})}, **more)

    async def export(self, options: Mapping[str, Any] | None = None) -> jobs_pb.Job:
        """A finished CSV export."""
        return await self.exporter.completed(self.tenant, "csv", options)

    async def file(self, job: jobs_pb.Job) -> bytes:
        """The job's file as the exporter made it."""
        [key] = await self.exporter.keys(job)
        return (self.exporter.folder / key).read_bytes()


OpenShop = Callable[..., AbstractAsyncContextManager[DeliveryFixture]]
