"""With mTLS a caller may only make the calls that the table gives to the name in its certificate."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from contextlib import suppress
from typing import Any

import grpc
import pytest
import structlog
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as longrunning
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.exporter.operations import name_of
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc
from tests.certificates import Authority
from tests.integration.chassis.certified import Services, channel, fill
from tests.integration.exporting import DEADLINE, Exporter, new_tenant, products

DENIED, OK = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.OK


async def code_of(call: Any) -> grpc.StatusCode:
    """The status of a call, with one answer or a stream of them."""
    try:
        if hasattr(call, "read"):
            await call.read()
            return OK
        await call
    except grpc.aio.AioRpcError as exc:
        return exc.code()
    return OK


def refused(caller: str, method: str, reason: str) -> float:
    labels = {"caller": caller, "method": method, "reason": reason}
    return REGISTRY.get_sample_value("rpc_calls_refused_total", labels) or 0.0


async def test_each_caller_makes_only_its_own_calls_for_its_own_tenants(
    services: Services, authority: Authority, clean_uri: str
) -> None:
    tenant, other = new_tenant(), new_tenant()
    await fill(clean_uri, tenant)
    await fill(clean_uri, other)
    bound = f"delivery={tenant}; shop={tenant}"
    async with (
        services.exporter(grpc_callers=bound) as running,
        channel(running.rpc_port, authority, authority.issue(name="gateway")) as gateway,
        channel(running.rpc_port, authority, authority.issue(name="delivery")) as delivery,
        channel(running.rpc_port, authority, authority.issue(name="shop")) as shop,
        channel(running.rpc_port, authority, authority.issue(name="stranger")) as stranger,
    ):
        by_gateway, by_delivery, by_shop, by_stranger = map(
            exporter_pb2_grpc.ExporterServiceStub, (gateway, delivery, shop, stranger)
        )
        mine, others = [
            (await by_gateway.CreateJob(pb.CreateJobRequest(tenant=name, format="csv"), timeout=DEADLINE)).job.id
            for name in (tenant, other)
        ]
        get, get_others = pb.GetJobRequest(tenant=tenant, job_id=mine), pb.GetJobRequest(tenant=other, job_id=others)
        file, others_file = (
            pb.GetJobFileRequest(tenant=tenant, job_id=mine),
            pb.GetJobFileRequest(tenant=other, job_id=others),
        )
        watch, watch_others = (
            pb.WatchJobRequest(tenant=tenant, job_id=mine),
            pb.WatchJobRequest(tenant=other, job_id=others),
        )
        before = refused("delivery", "CancelJob", "method"), refused("delivery", "GetJobFile", "tenant")

        async def code(method: Any, request: Any) -> grpc.StatusCode:
            return await code_of(method(request, timeout=DEADLINE))

        # The name decides which methods, also of those that stream.
        assert await code(by_delivery.GetJobFile, file) is OK
        assert await code(by_delivery.CancelJob, pb.CancelJobRequest(tenant=tenant, job_id=mine)) is DENIED
        assert await code(by_delivery.GetJob, get) is DENIED
        assert await code(by_delivery.WatchJob, watch) is DENIED
        assert await code(by_gateway.WatchJob, watch) is DENIED
        assert await code(by_gateway.GetJob, get_others) is OK
        # The setting decides which tenants; a call without one would show those of all tenants.
        assert await code(by_delivery.GetJobFile, others_file) is DENIED
        assert await code(by_delivery.ListEndedJobs, pb.ListEndedJobsRequest()) is DENIED
        assert await code(by_shop.GetJob, get) is OK
        assert await code(by_shop.WatchJob, watch) is OK
        assert await code(by_shop.GetJob, get_others) is DENIED
        assert await code(by_shop.WatchJob, watch_others) is DENIED
        assert await code(by_shop.ListFormats, pb.ListFormatsRequest()) is OK
        # A certificate of the CA alone opens nothing but health.
        assert await code(by_stranger.ListFormats, pb.ListFormatsRequest()) is DENIED
        assert await code(health_pb2_grpc.HealthStub(stranger).Check, health_pb2.HealthCheckRequest()) is OK
        assert refused("delivery", "CancelJob", "method") == before[0] + 1
        assert refused("delivery", "GetJobFile", "tenant") == before[1] + 1
        assert refused("unknown", "ListFormats", "caller") >= 1
        # The refused call changed nothing.
        assert (await by_gateway.GetJob(get, timeout=DEADLINE)).job.state == pb.JOB_STATE_ACCEPTED


async def test_operations_are_called_like_the_jobs_they_stand_for(
    services: Services, authority: Authority, clean_uri: str
) -> None:
    tenant, other = new_tenant(), new_tenant()
    await fill(clean_uri, tenant)
    await fill(clean_uri, other)
    async with (
        services.exporter(grpc_callers=f"shop={tenant}") as running,
        channel(running.rpc_port, authority, authority.issue(name="gateway")) as gateway,
        channel(running.rpc_port, authority, authority.issue(name="shop")) as shop,
        channel(running.rpc_port, authority, authority.issue(name="stranger")) as stranger,
    ):
        create = exporter_pb2_grpc.ExporterServiceStub(gateway).CreateJob
        mine, others = [
            name_of(name, (await create(pb.CreateJobRequest(tenant=name, format="csv"), timeout=DEADLINE)).job.id)
            for name in (tenant, other)
        ]
        by_gateway, by_shop, by_stranger = map(operations_pb2_grpc.OperationsStub, (gateway, shop, stranger))

        async def code(method: Any, request: Any) -> grpc.StatusCode:
            return await code_of(method(request, timeout=DEADLINE))

        get, get_others = (longrunning.GetOperationRequest(name=name) for name in (mine, others))
        assert await code(by_shop.GetOperation, get) is OK
        assert await code(by_shop.GetOperation, get_others) is DENIED
        assert await code(by_shop.ListOperations, longrunning.ListOperationsRequest(name=f"tenants/{other}")) is DENIED
        assert await code(by_shop.CancelOperation, longrunning.CancelOperationRequest(name=others)) is DENIED
        assert await code(by_shop.DeleteOperation, longrunning.DeleteOperationRequest(name=others)) is DENIED
        assert await code(by_shop.WaitOperation, longrunning.WaitOperationRequest(name=others)) is DENIED
        # The gateway has its own calls for jobs.
        assert await code(by_gateway.GetOperation, get_others) is DENIED
        assert await code(by_stranger.GetOperation, get) is DENIED
        # A name of another form belongs to none of the caller's tenants.
        assert await code(by_shop.GetOperation, longrunning.GetOperationRequest(name=f"tenants/{tenant}")) is DENIED


async def test_without_tls_the_caller_is_unauthenticated(idle: Exporter) -> None:
    tenant = new_tenant()
    await idle.fill(tenant, products(1))
    assert await _logged_callers(idle.stub, tenant) == ["unauthenticated"]


async def test_the_caller_is_in_the_logs_of_a_call(services: Services, authority: Authority, clean_uri: str) -> None:
    tenant = new_tenant()
    await fill(clean_uri, tenant)
    async with (
        services.exporter() as running,
        channel(running.rpc_port, authority, authority.issue(name="scheduler")) as opened,
    ):
        stub = exporter_pb2_grpc.ExporterServiceStub(opened)
        assert await _logged_callers(stub, tenant) == ["scheduler"]


async def _logged_callers(stub: Any, tenant: str) -> list[Any]:
    """The callers in the log of a call."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await stub.CreateJob(pb.CreateJobRequest(tenant=tenant, format="csv"), timeout=DEADLINE)
    return [line.get("caller") for line in logs if line["event"] == "job_accepted"]


@pytest.mark.parametrize("on", [True, False])
async def test_reflection_can_be_switched_off(services: Services, authority: Authority, on: bool) -> None:
    async with (
        services.exporter(grpc_reflection=on) as running,
        channel(running.rpc_port, authority, authority.issue()) as opened,
    ):
        stream = reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo(timeout=DEADLINE)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        with suppress(grpc.RpcError):  # a call that was refused already
            await stream.write(request)
        if on:
            assert (await stream.read()).list_services_response.service
        else:
            assert await stream.code() is grpc.StatusCode.UNIMPLEMENTED
