"""An exporter in the test's own event loop, on free ports, against real servers, and what tests ask of it."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import copy
import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.chassis import mongo
from services.chassis.service_runtime import Running
from services.exporter.app import build
from services.exporter.settings import ExporterSettings
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc, profiles_pb2_grpc
from tests import copies, waiting

DEADLINE = waiting.DEADLINE
eventually = waiting.eventually_async
LIVE = {pb.JOB_STATE_ACCEPTED, pb.JOB_STATE_RUNNING, pb.JOB_STATE_RETRY_WAIT}


def products(count: int) -> list[dict[str, Any]]:
    """A small catalogue."""
    return [
        {"_id": f"p{n:07}", "sku": f"S-{n}", "name": f"Product {n}, “quoted”", "price": n / 4, "tags": ["a", "b"]}
        for n in range(count)
    ]


class Exporter:
    """One running exporter."""

    def __init__(self, running: Running, channel: grpc.aio.Channel, client: mongo.Client, folder: Path) -> None:
        self.running = running
        self.channel = channel
        self.folder = folder
        """Of the finished files."""
        self.client = client
        self.jobs = client["exporter"]["jobs"]
        self.stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self.profiles = profiles_pb2_grpc.ProfileServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._tenants: list[str] = []

    def for_one_test(self) -> Exporter:
        """The same exporter, for a test with tenants of its own."""
        found = copy.copy(self)
        found._tenants = []
        return found

    async def fill(self, tenant: str, documents: Sequence[Mapping[str, Any]], collection: str = "products") -> None:
        """Insert documents into a tenant's catalogue."""
        self._tenants.append(tenant)
        await self.client[f"catalogue_{tenant}"][collection].insert_many([dict(document) for document in documents])

    async def fill_large(self, tenant: str, count: int) -> None:
        """Fill a tenant's catalogue with copies of a product."""
        catalogue = self.client[f"catalogue_{tenant}"]
        await catalogue[copies.SEED].insert_one(products(1)[0])
        self._tenants.append(tenant)
        async for _ in catalogue[copies.SEED].aggregate(copies.stages(count)):
            pass

    def watch(self, tenant: str) -> None:
        """Let `files` include those of a tenant whose catalogue is filled already."""
        self._tenants.append(tenant)

    async def create(self, tenant: str, form: str = "csv", options: object = None, **more: Any) -> pb.Job:
        """Ask for an export; `more` are other fields of the request."""
        request = pb.CreateJobRequest(tenant=tenant, format=form, **more)
        if isinstance(options, dict) and "platform_ids" in options:
            options = dict(options)
            request.platforms.CopyFrom(pb.PlatformSelection(platform_ids=options.pop("platform_ids")))
        if options is not None:
            request.options_json = json.dumps(options)
        return (await self.stub.CreateJob(request, timeout=DEADLINE)).job

    async def get(self, job: pb.Job) -> pb.Job:
        """The job as it is now."""
        request = pb.GetJobRequest(tenant=job.tenant, job_id=job.id)
        return (await self.stub.GetJob(request, timeout=DEADLINE)).job

    async def cancel(self, job: pb.Job) -> pb.Job:
        """End the job."""
        request = pb.CancelJobRequest(tenant=job.tenant, job_id=job.id)
        return (await self.stub.CancelJob(request, timeout=DEADLINE)).job

    async def retry(self, job: pb.Job) -> pb.Job:
        """Start the job again."""
        request = pb.RetryJobRequest(tenant=job.tenant, job_id=job.id)
        return (await self.stub.RetryJob(request, timeout=DEADLINE)).job

    async def delete(self, job: pb.Job) -> None:
        """Forget the job."""
        await self.stub.DeleteJob(pb.DeleteJobRequest(tenant=job.tenant, job_id=job.id), timeout=DEADLINE)

    async def until(self, job: pb.Job, state: pb.JobState.ValueType, within: float = DEADLINE) -> pb.Job:
        """The job once it is in this state."""

        async def reached() -> pb.Job | None:
            found = await self.get(job)
            return found if found.state == state else None

        found: pb.Job = await eventually(f"the job is {pb.JobState.Name(state)}", reached, within)
        return found

    async def completed(self, tenant: str, form: str = "csv", options: object = None) -> pb.Job:
        """A finished export."""
        return await self.until(await self.create(tenant, form, options), pb.JOB_STATE_COMPLETED)

    async def document(self, job: pb.Job) -> dict[str, Any]:
        """The job's document in MongoDB."""
        found = await self.jobs.find_one({"_id": job.id})
        assert found is not None
        return found

    async def fence(self, job: pb.Job) -> int:
        """How often the job was claimed."""
        return int((await self.document(job))["fence"])

    async def keys(self, *jobs: pb.Job) -> list[str]:
        """Where the files of completed jobs are in the artifact store, sorted."""
        return sorted([(await self.document(job))["artifact"]["key"] for job in jobs])

    async def is_serving(self, service: str = "") -> bool:
        """What the health service says."""
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def files(self) -> list[str]:
        """Everything in the artifact store of the test's tenants; folders may disappear meanwhile."""
        folders = [self.folder / tenant for tenant in self._tenants]
        found = [Path(folder) / name for top in folders for folder, _, names in os.walk(top) for name in names]
        return sorted(path.relative_to(self.folder).as_posix() for path in found)


@asynccontextmanager
async def exporter(mongo_uri: str, nats_url: str, folder: Path, **settings: Any) -> AsyncIterator[Exporter]:
    """Start an exporter with these settings on top of short pauses; the rules are the same."""
    chosen = {
        "mongodb_uri": mongo_uri,
        "nats_url": nats_url,
        "artifacts_url": (folder / "artifacts").as_uri(),
        "grpc_port": 0,
        "metrics_port": 0,
        "job_lease_seconds": 12.0,
        "dispatch_seconds": 2.0,
        "job_retry_seconds": 0.2,
        "shutdown_grace": 5.0,
        **settings,
    }
    client = mongo.connect(mongo_uri, app="tests")
    try:
        async with (
            build(ExporterSettings(**chosen)) as running,
            grpc.aio.insecure_channel(f"127.0.0.1:{running.rpc_port}") as channel,
        ):
            yield Exporter(running, channel, client, folder / "artifacts")
    finally:
        client.close()


class Refused:
    """What a refused call said, filled when the block is left."""

    code: grpc.StatusCode
    reason: str
    message: str
    domain: str
    fields: dict[str, str]
    retry_after: float | None


@asynccontextmanager
async def refused(code: grpc.StatusCode, reason: str) -> AsyncIterator[Refused]:
    """Expect the call in the block to be refused with this code and reason."""
    told = Refused()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield told
    error = raised.value
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    status = rpc_status.from_call(error)
    assert status is not None, error
    for detail in status.details:
        for message in (info, bad, retry):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    told.code, told.reason, told.domain = error.code(), info.reason, info.domain
    told.message = error.details() or ""
    told.fields = {v.field: v.description for v in bad.field_violations}
    told.retry_after = retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None
    assert (told.code, told.reason) == (code, reason), (told.code, told.reason, told.message)


def new_tenant() -> str:
    """A tenant nobody else uses."""
    return f"t{uuid.uuid4().hex[:12]}"
