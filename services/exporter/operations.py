"""Offers jobs as `google.longrunning.Operations` (AIP-151), so that standard tools can wait for them.

A job's operation is `tenants/{tenant}/operations/{job_id}`. Requests are translated before anything else sees them, so
callers are checked and changes are recorded as those of ExporterService.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.longrunning import operations_proto_pb2 as longrunning
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.chassis.faults import BadRequest, Fault, Violation
from services.chassis.rpc.errors import DOMAIN
from services.exporter.service import ExporterService
from services.wire import exporter_pb2 as pb

SERVICE = "google.longrunning.Operations"
_SUCCEEDED = frozenset({pb.JOB_STATE_COMPLETED, pb.JOB_STATE_EXPIRED})
_ENDED = _SUCCEEDED | {pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED}
_UNAVAILABLE = frozenset({"artifact_store_full", "artifact_store_unavailable", "catalogue_unavailable"})


def name_of(tenant: str, job_id: str) -> str:
    """The name of a job's operation."""
    return f"tenants/{tenant}/operations/{job_id}"


def operation(job: pb.Job) -> longrunning.Operation:
    """A job as an operation; `metadata` is the job, and so is `response` once it is completed."""
    packed = AnyMessage()
    packed.Pack(job)
    made = longrunning.Operation(name=name_of(job.tenant, job.id), metadata=packed, done=job.state in _ENDED)
    if job.state in _SUCCEEDED:
        made.response.CopyFrom(packed)
    elif made.done:
        made.error.CopyFrom(_status(job))
    return made


def _status(job: pb.Job) -> status_pb2.Status:
    if job.state == pb.JOB_STATE_CANCELLED:
        return status_pb2.Status(code=code_pb2.CANCELLED, message="The job was cancelled.")
    code = code_pb2.FAILED_PRECONDITION
    if job.error.code in _UNAVAILABLE:
        code = code_pb2.UNAVAILABLE
    elif job.error.code == "internal_error":
        code = code_pb2.INTERNAL
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=job.error.code, domain=DOMAIN))
    return status_pb2.Status(code=code, message=job.error.message, details=[detail])


def handler(jobs: ExporterService) -> grpc.GenericRpcHandler:
    """The methods of the service, for `grpc.aio.Server.add_generic_rpc_handlers`."""

    async def get(request: pb.GetJobRequest, context: Any) -> longrunning.Operation:
        return operation((await jobs.GetJob(request, context)).job)

    async def wait(request: pb.WaitJobRequest, context: Any) -> longrunning.Operation:
        return operation((await jobs.WaitJob(request, context)).job)

    async def listed(request: pb.ListJobsRequest, context: Any) -> longrunning.ListOperationsResponse:
        page = await jobs.ListJobs(request, context)
        operations = [operation(job) for job in page.jobs]
        return longrunning.ListOperationsResponse(operations=operations, next_page_token=page.next_page_token)

    async def cancel(request: pb.CancelJobRequest, context: Any) -> Empty:
        await jobs.CancelJob(request, context)
        return Empty()

    async def delete(request: pb.DeleteJobRequest, context: Any) -> Empty:
        await jobs.DeleteJob(request, context)
        return Empty()

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "GetOperation": _method(get, longrunning.GetOperationRequest, _to_get),
            "WaitOperation": _method(wait, longrunning.WaitOperationRequest, _to_wait),
            "ListOperations": _method(listed, longrunning.ListOperationsRequest, _to_list),
            "CancelOperation": _method(cancel, longrunning.CancelOperationRequest, _to_cancel),
            "DeleteOperation": _method(delete, longrunning.DeleteOperationRequest, _to_delete),
        },
    )


def _method(
    handle: Callable[[Any, Any], Awaitable[Message]], kind: type[Message], translate: Callable[[Any], Message]
) -> Any:
    def decode(data: bytes) -> Message | Fault:
        try:
            return translate(kind.FromString(data))
        except Fault as fault:  # `chassis.rpc.requests` raises it once the caller is known
            return fault

    return grpc.unary_unary_rpc_method_handler(
        handle, request_deserializer=decode, response_serializer=lambda message: message.SerializeToString()
    )


def _to_get(request: longrunning.GetOperationRequest) -> pb.GetJobRequest:
    tenant, job_id = _parts(request.name)
    return pb.GetJobRequest(tenant=tenant, job_id=job_id)


def _to_wait(request: longrunning.WaitOperationRequest) -> pb.WaitJobRequest:
    tenant, job_id = _parts(request.name)
    timeout = request.timeout if request.HasField("timeout") else None
    return pb.WaitJobRequest(tenant=tenant, job_id=job_id, timeout=timeout)


def _to_list(request: longrunning.ListOperationsRequest) -> pb.ListJobsRequest:
    collection, _, tenant = request.name.removesuffix("/operations").partition("/")
    if collection != "tenants" or not tenant or "/" in tenant:
        raise BadRequest([Violation("name", "must be tenants/{tenant}")])
    if request.filter:
        raise BadRequest([Violation("filter", "is not possible; use ListJobs of catalog.exports.v1.ExporterService")])
    return pb.ListJobsRequest(tenant=tenant, page_size=request.page_size, page_token=request.page_token)


def _to_cancel(request: longrunning.CancelOperationRequest) -> pb.CancelJobRequest:
    tenant, job_id = _parts(request.name)
    return pb.CancelJobRequest(tenant=tenant, job_id=job_id)


def _to_delete(request: longrunning.DeleteOperationRequest) -> pb.DeleteJobRequest:
    tenant, job_id = _parts(request.name)
    return pb.DeleteJobRequest(tenant=tenant, job_id=job_id)


def _parts(name: str) -> tuple[str, str]:
    """Tenant and job id of an operation's name.

    Raises:
        BadRequest: the name is not that of an operation.
    """
    match name.split("/"):
        case ["tenants", tenant, "operations", job_id] if tenant and job_id:
            return tenant, job_id
    raise BadRequest([Violation("name", "must be tenants/{tenant}/operations/{job_id}")])
