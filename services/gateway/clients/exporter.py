"""The gateway's client of the exporter: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import json
from collections.abc import Iterable, Sequence

import grpc

from services.chassis import json_text
from services.gateway.clients.rest_names import BRIEF_DEADLINE, RestCaller
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

MAX_BATCH = 50
"""Jobs in one call about several."""


class ExporterClient:
    """Calls ExporterService. Every method raises the Fault that the service returns, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)
        self._caller = RestCaller("exporter", deadline=deadline, names={"options_json": "body"})
        self._runs = RestCaller("exporter", deadline=deadline, names={"options_json": "options"})

    async def create(self, tenant: str, form: str, options_json: str, *, key: str, job_id: str) -> pb.CreateJobResponse:
        """Create a job; repeated calls with the same key, or else the same id, return the same job.

        Args:
            options_json: as REST has them, with `platform_ids`.
        """
        request = _creation(tenant, options_json, key, job_id)
        request.format = form
        return await self._caller.call(self._stub.CreateJob, request)

    async def preview(
        self, tenant: str, options_json: str, *, form: str = "", profile_id: str = ""
    ) -> pb.PreviewJobResponse:
        """What a job with this format or profile would make; `platform_ids` are left out."""
        options_json, _ = split_platforms(options_json)
        request = pb.PreviewJobRequest(tenant=tenant, format=form, options_json=options_json, profile_id=profile_id)
        caller = self._runs if profile_id else self._caller
        return await caller.call(self._stub.PreviewJob, request)

    async def run_profile(
        self, tenant: str, profile_id: str, overrides_json: str, *, key: str, job_id: str
    ) -> pb.CreateJobResponse:
        """Create a job for a profile; repeated calls with the same key, or else the same id, return the same job.

        Args:
            overrides_json: options that replace those of the profile, as REST has them, with `platform_ids`.
        """
        request = _creation(tenant, overrides_json, key, job_id)
        request.profile_id = profile_id
        return await self._runs.call(self._stub.CreateJob, request)

    async def get(self, tenant: str, job_id: str) -> pb.Job:
        """One job."""
        return (await self._caller.call(self._stub.GetJob, pb.GetJobRequest(tenant=tenant, job_id=job_id))).job

    async def states(self, jobs: Iterable[pb.Job]) -> Sequence[pb.Job]:
        """At most `MAX_BATCH` jobs as they are now, without their options; deleted ones are left out."""
        wanted = [pb.GetJobFileRequest(tenant=job.tenant, job_id=job.id) for job in jobs]
        request = pb.BatchGetJobFilesRequest(requests=wanted)
        found = await self._caller.call(self._stub.BatchGetJobFiles, request)
        return [file.job for file in found.files]

    async def file(self, tenant: str, job_id: str) -> pb.JobFile:
        """One job with the location of its file."""
        request = pb.GetJobFileRequest(tenant=tenant, job_id=job_id)
        return (await self._caller.call(self._stub.GetJobFile, request)).file

    async def list(self, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
        """A page of jobs."""
        return await self._caller.call(self._stub.ListJobs, request)

    async def report(self, tenant: str, job_id: str) -> pb.GetJobReportResponse:
        """What the columns of the request did to single rows."""
        return await self._caller.call(self._stub.GetJobReport, pb.GetJobReportRequest(tenant=tenant, job_id=job_id))

    async def cancel(self, tenant: str, job_id: str) -> pb.Job:
        """End a live job."""
        request = pb.CancelJobRequest(tenant=tenant, job_id=job_id)
        return (await self._caller.call(self._stub.CancelJob, request)).job

    async def retry(self, tenant: str, job_id: str) -> pb.Job:
        """Restart a failed or cancelled job."""
        return (await self._caller.call(self._stub.RetryJob, pb.RetryJobRequest(tenant=tenant, job_id=job_id))).job

    async def delete(self, tenant: str, job_id: str) -> None:
        """Delete an ended job."""
        await self._caller.call(self._stub.DeleteJob, pb.DeleteJobRequest(tenant=tenant, job_id=job_id))

    async def usage(self, tenant: str) -> pb.GetJobUsageResponse:
        """The limits and usage of jobs and files, with a short deadline."""
        request = pb.GetJobUsageRequest(tenant=tenant)
        return await self._caller.call(self._stub.GetJobUsage, request, deadline=BRIEF_DEADLINE)

    async def fields(self, tenant: str, collection: str) -> pb.ListFieldsResponse:
        """The fields of a catalogue."""
        request = pb.ListFieldsRequest(tenant=tenant, collection=collection)
        return await self._caller.call(self._stub.ListFields, request)

    async def formats(self) -> Sequence[pb.FormatDescription]:
        """The formats and the schemas of their options."""
        return (await self._caller.call(self._stub.ListFormats, pb.ListFormatsRequest())).formats

    async def templates(self) -> Sequence[pb.TemplateDescription]:
        """The feed templates."""
        return (await self._caller.call(self._stub.ListTemplates, pb.ListTemplatesRequest())).templates


def split_platforms(options_json: str) -> tuple[str, pb.PlatformSelection | None]:
    """The options without `platform_ids`, and the platforms that they select.

    A value that is not a list of strings stays among the options, where the exporter refuses it by its name.
    """
    text = dict(json_text.members(options_json)).get("platform_ids")
    ids = None if text is None else json.loads(text)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        return options_json, None
    return json_text.without(options_json, "platform_ids"), pb.PlatformSelection(platform_ids=ids)


def _creation(tenant: str, options_json: str, key: str, job_id: str) -> pb.CreateJobRequest:
    options_json, platforms = split_platforms(options_json)
    return pb.CreateJobRequest(
        tenant=tenant,
        options_json=options_json,
        platforms=platforms,
        idempotency_key=key,
        job_id="" if key else job_id,
    )
