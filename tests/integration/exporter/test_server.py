"""How the exporter serves: health, reflection, metrics, and its end, which nobody loses a job or an answer by."""

import asyncio
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.chassis import mongo
from services.exporter.app import PROFILES, SERVICE, build
from services.exporter.settings import ExporterSettings
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc
from tests.integration.exporting import DEADLINE, Exporter, eventually, exporter, new_tenant, products, refused


async def test_health_is_known_for_the_process_and_its_service_and_for_no_other(idle: Exporter) -> None:
    assert await idle.is_serving()
    assert await idle.is_serving(SERVICE)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await idle.is_serving("catalog.exports.v1.Importer")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_shows_the_service_and_its_methods(idle: Exporter) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(idle.channel)

    async def ask(**what: str) -> reflection_pb2.ServerReflectionResponse:
        stream = stub.ServerReflectionInfo(timeout=DEADLINE)
        await stream.write(reflection_pb2.ServerReflectionRequest(**what))
        answer = await stream.read()
        await stream.done_writing()
        return answer

    listed = await ask(list_services="")
    names = {service.name for service in listed.list_services_response.service}
    standard = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "google.longrunning.Operations"}
    assert names == {SERVICE, PROFILES, *standard}
    found = await ask(file_containing_symbol=SERVICE)
    [text, *_] = found.file_descriptor_response.file_descriptor_proto
    file = descriptor_pb2.FileDescriptorProto.FromString(text)
    methods = {method.name for method in file.service[0].method}
    assert methods >= {"CreateJob", "GetJob", "ListJobs", "CancelJob", "RetryJob", "DeleteJob", "WatchJob"}


async def test_not_serving_is_said_before_calls_are_refused_and_calls_under_way_are_answered(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant = new_tenant()
    leave = asyncio.Event()
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, shutdown_notice=1.0) as running:
            await running.fill(tenant, products(1))
            started.set_result(running.running.rpc_port)
            await leave.wait()

    serving = asyncio.create_task(serve())
    port = await started
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub, health = exporter_pb2_grpc.ExporterServiceStub(channel), health_pb2_grpc.HealthStub(channel)
        job = (await stub.CreateJob(pb.CreateJobRequest(tenant=tenant, format="csv"), timeout=DEADLINE)).job
        watching = stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        assert await watching.read() == pb.WatchJobResponse(job=job)
        leave.set()

        async def not_serving() -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
            return bool(answer.status == health_pb2.HealthCheckResponse.NOT_SERVING)

        await eventually("it says that it leaves", not_serving)
        found = await stub.GetJob(pb.GetJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
        assert found.job == job
        async with refused(grpc.StatusCode.UNAVAILABLE, "exporter_leaving"):
            await watching.read()
        await serving
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetJob(pb.GetJobRequest(tenant=tenant, job_id=job.id), timeout=5)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_open_watch_does_not_hold_the_end_up(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0, shutdown_grace=60.0) as running:
        await running.fill(tenant, products(1))
        job = await running.create(tenant)
        watching = running.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id))
        await watching.read()
        left = time.monotonic()
    assert time.monotonic() - left < 60.0  # the grace


async def test_a_leaving_worker_gives_its_jobs_back_and_another_has_them_at_once(
    clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    tenant = new_tenant()
    async with exporter(clean_uri, nats_url, tmp_path, job_lease_seconds=60.0, worker_jobs=2) as first:
        await first.fill_large(tenant, 80_000)
        jobs = [await first.create(tenant, "excel") for _ in range(4)]
        await first.until(jobs[0], pb.JOB_STATE_RUNNING)
    client = mongo.connect(clean_uri, app="tests")
    left = [document async for document in client["exporter"]["jobs"].find()]
    client.close()
    states = [document["state"] for document in left]
    assert set(states) <= {"accepted", "completed"}  # the first may have ended while the server stopped
    assert "accepted" in states
    assert {document["attempt"] for document in left if document["state"] == "accepted"} == {0}
    async with exporter(clean_uri, nats_url, tmp_path, job_lease_seconds=60.0) as second:
        ended = [await second.until(job, pb.JOB_STATE_COMPLETED, within=50) for job in jobs]
    assert {job.attempt for job in ended} == {1}
    assert all(job.records == {"products": 80_000} for job in ended)


async def test_a_port_that_is_taken_is_an_error_and_is_not_shared(
    idle: Exporter, clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="taken"):
        async with exporter(clean_uri, nats_url, tmp_path, grpc_port=idle.running.rpc_port):
            pass
    with pytest.raises(OSError, match="in use"):
        async with exporter(clean_uri, nats_url, tmp_path, metrics_port=idle.running.metrics_port):
            pass
    assert await idle.is_serving()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("mongodb_uri", "mongodb://user:secret@host:port/", "MongoDB URI"),
        ("mongodb_uri", "http://user:secret@host/", "MongoDB URI"),
        ("catalogue_uri", "mongodb://user:secret@", "MongoDB URI"),
        ("nats_url", "127.0.0.1", "NATS_URL"),
        ("nats_url", "nats://", "NATS_URL"),
        ("artifacts_url", "ftp://host/folder", "ARTIFACTS_URL"),
    ],
)
async def test_an_address_that_is_none_is_an_error_that_tells_no_secret(
    clean_uri: str, nats_url: str, tmp_path: Path, setting: str, value: str, said: str
) -> None:
    fine = {"mongodb_uri": clean_uri, "nats_url": nats_url, "artifacts_url": tmp_path.as_uri()}
    chosen = ExporterSettings.model_validate({"grpc_port": 0, "metrics_port": 0, **fine, setting: value})
    with pytest.raises(OSError, match=said) as raised:
        async with build(chosen):
            pass
    assert "secret" not in str(raised.value)
