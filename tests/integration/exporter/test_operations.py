"""Jobs as google.longrunning.Operations, called with Google's own stub."""

from collections.abc import AsyncIterator
from datetime import datetime

import grpc
import pytest
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as longrunning
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2

from services.exporter.operations import name_of
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import Exporter, new_tenant, products

DEADLINE = 60.0


@pytest.fixture
async def operations(running: Exporter) -> AsyncIterator[operations_pb2_grpc.OperationsStub]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.running.rpc_port}") as channel:
        yield operations_pb2_grpc.OperationsStub(channel)


def job_in(packed: object) -> pb.Job:
    job = pb.Job()
    assert packed.Unpack(job)  # type: ignore[attr-defined]  # google.protobuf.any_pb2.Any
    return job


async def refused(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc]  # a call of a stub without types
    return raised.value.code(), raised.value.details() or ""


async def test_an_export_is_waited_for_and_its_job_is_the_response(
    running: Exporter, operations: operations_pb2_grpc.OperationsStub
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    job = await running.create(tenant)
    name = name_of(tenant, job.id)
    request = longrunning.WaitOperationRequest(name=name, timeout=Duration(seconds=50))
    done = await operations.WaitOperation(request, timeout=DEADLINE)
    assert (done.name, done.done, done.HasField("error")) == (name, True, False)
    assert dict(job_in(done.response).records) == {"products": 3}
    assert await operations.GetOperation(longrunning.GetOperationRequest(name=name), timeout=DEADLINE) == done
    page = await operations.ListOperations(
        longrunning.ListOperationsRequest(name=f"tenants/{tenant}"), timeout=DEADLINE
    )
    assert [one.name for one in page.operations] == [name]
    await operations.DeleteOperation(longrunning.DeleteOperationRequest(name=name), timeout=DEADLINE)
    code, _ = await refused(operations.GetOperation(longrunning.GetOperationRequest(name=name), timeout=DEADLINE))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_failed_job_has_its_error(running: Exporter, operations: operations_pb2_grpc.OperationsStub) -> None:
    tenant = new_tenant()
    await running.fill(tenant, [{"_id": "1", "sku": "A"}, {"_id": "2"}])
    columns = {"columns": [{"header": "sku", "field": "sku", "if_missing": "fail"}]}
    failed = await running.until(await running.create(tenant, options=columns), pb.JOB_STATE_FAILED)
    request = longrunning.GetOperationRequest(name=name_of(tenant, failed.id))
    found = await operations.GetOperation(request, timeout=DEADLINE)
    detail = error_details_pb2.ErrorInfo()
    assert found.error.details[0].Unpack(detail)
    assert (found.done, found.error.code) == (True, code_pb2.FAILED_PRECONDITION)
    assert (detail.domain, detail.reason) == ("exports.catalog", "missing_value")


async def test_a_live_job_is_cancelled_and_its_wait_ends_with_its_time(
    running: Exporter, operations: operations_pb2_grpc.OperationsStub
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(1))
    job = await running.completed(tenant)
    # It waits for a retry that does not come.
    waiting = {"state": "retry_wait", "retry_at": datetime(9999, 1, 1)}
    await running.jobs.update_one({"_id": job.id}, {"$set": waiting, "$unset": {"finished_at": "", "artifact": ""}})
    name = name_of(tenant, job.id)
    request = longrunning.WaitOperationRequest(name=name, timeout=Duration(nanos=300_000_000))
    found = await operations.WaitOperation(request, timeout=DEADLINE)
    assert (found.done, job_in(found.metadata).state) == (False, pb.JOB_STATE_RETRY_WAIT)
    await operations.CancelOperation(longrunning.CancelOperationRequest(name=name), timeout=DEADLINE)
    found = await operations.GetOperation(longrunning.GetOperationRequest(name=name), timeout=DEADLINE)
    assert (found.done, found.error.code) == (True, code_pb2.CANCELLED)
    code, _ = await refused(operations.CancelOperation(longrunning.CancelOperationRequest(name=name), timeout=DEADLINE))
    assert code is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("name", ["", "tenants/", "jobs/x", "tenants/a/operations/", "tenants/a/operations/b/c"])
async def test_a_name_of_another_form_is_refused(operations: operations_pb2_grpc.OperationsStub, name: str) -> None:
    for call, request in (
        (operations.GetOperation, longrunning.GetOperationRequest(name=name)),
        (operations.WaitOperation, longrunning.WaitOperationRequest(name=name)),
        (operations.CancelOperation, longrunning.CancelOperationRequest(name=name)),
        (operations.DeleteOperation, longrunning.DeleteOperationRequest(name=name)),
    ):
        code, text = await refused(call(request, timeout=DEADLINE))
        assert (code, text) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "name: must be tenants/{tenant}/operations/{job_id}",
        )


async def test_the_rules_of_other_calls_hold(running: Exporter, operations: operations_pb2_grpc.OperationsStub) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(1))
    job = await running.create(tenant)
    other = longrunning.GetOperationRequest(name=name_of(new_tenant(), job.id))
    assert (await refused(operations.GetOperation(other, timeout=DEADLINE)))[0] is grpc.StatusCode.NOT_FOUND
    for request, words in (
        (longrunning.ListOperationsRequest(name="tenants"), "name: must be tenants/{tenant}"),
        (longrunning.ListOperationsRequest(name=f"tenants/{tenant}", filter="done=true"), "filter: is not possible"),
        (longrunning.ListOperationsRequest(name=f"tenants/{tenant}", page_size=-1), "page_size"),
    ):
        code, text = await refused(operations.ListOperations(request, timeout=DEADLINE))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert words in text


async def test_a_live_job_is_not_deleted_and_a_negative_time_is_refused(
    running: Exporter, operations: operations_pb2_grpc.OperationsStub
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(1))
    job = await running.completed(tenant)
    await running.jobs.update_one({"_id": job.id}, {"$set": {"state": "retry_wait", "retry_at": datetime(9999, 1, 1)}})
    name = name_of(tenant, job.id)
    code, text = await refused(operations.DeleteOperation(longrunning.DeleteOperationRequest(name=name)))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "cancel" in text
    negative = longrunning.WaitOperationRequest(name=name, timeout=Duration(seconds=-1))
    code, text = await refused(operations.WaitOperation(negative, timeout=DEADLINE))
    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "timeout: must not be negative")
    found = await operations.GetOperation(longrunning.GetOperationRequest(name=name), timeout=DEADLINE)
    assert job_in(found.metadata).state == pb.JOB_STATE_RETRY_WAIT


async def test_pages_follow_each_other_until_all_operations_are_listed(
    running: Exporter, operations: operations_pb2_grpc.OperationsStub
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(1))
    names = {name_of(tenant, (await running.create(tenant)).id) for _ in range(3)}
    request = longrunning.ListOperationsRequest(name=f"tenants/{tenant}/operations", page_size=2)
    first = await operations.ListOperations(request, timeout=DEADLINE)
    request.page_token = first.next_page_token
    second = await operations.ListOperations(request, timeout=DEADLINE)
    assert (len(first.operations), len(second.operations), second.next_page_token) == (2, 1, "")
    assert {one.name for one in (*first.operations, *second.operations)} == names
    request.page_token = "not a token"
    code, text = await refused(operations.ListOperations(request, timeout=DEADLINE))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in text


async def test_unknown_operations_are_not_found(operations: operations_pb2_grpc.OperationsStub) -> None:
    name = name_of(new_tenant(), "0" * 32)
    for call, request in (
        (operations.GetOperation, longrunning.GetOperationRequest(name=name)),
        (operations.WaitOperation, longrunning.WaitOperationRequest(name=name)),
        (operations.CancelOperation, longrunning.CancelOperationRequest(name=name)),
        (operations.DeleteOperation, longrunning.DeleteOperationRequest(name=name)),
    ):
        code, _ = await refused(call(request, timeout=DEADLINE))
        assert code is grpc.StatusCode.NOT_FOUND
