"""Exports: create, wait for, follow, download, list, cancel, retry, delete."""

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Unpack

import httpx

from catalog_exports.client.aio.http import AsyncHttp, segment
from catalog_exports.client.aio.runtime import blocking, pause
from catalog_exports.client.errors import (
    ChecksumMismatch,
    JobNotCompleted,
    Unavailable,
    Unreachable,
    WaitTimedOut,
    parsed,
)
from catalog_exports.client.event_stream import EventReader
from catalog_exports.client.models import Delivery, ExportOptions, JobData, Report
from catalog_exports.client.retries import backoff
from catalog_exports.client.sinks import PartFile, Sink, StreamSink, target

MAX_WAIT = 60
"""Seconds that the API waits at most in one request."""
POLL_SECONDS = 1.0
"""Between two requests if the API does not wait, because it is being stopped."""
PATIENCE = 120.0
"""Seconds for which a wait survives a gateway that does not answer; an upgrade takes less."""
EVENTS_TIMEOUT = 60.0
"""Without a comment for so long, the connection is lost."""
OnProgress = Callable[[int, int], None]
"""Called during a download with the bytes received so far, and with all bytes."""


class AsyncJob:
    """An export.

    Attributes:
        data: its last known state.
    """

    def __init__(self, http: AsyncHttp, data: JobData) -> None:
        self._http = http
        self.data = data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def id(self) -> str:
        """UUID."""
        return self.data.id

    @property
    def status(self) -> str:
        """The last known status: processing, completed, failed, cancelled or expired."""
        return self.data.status

    async def refresh(self, *, wait: int = 0) -> "AsyncJob":
        """Get the current state.

        Args:
            wait: seconds that the API may wait for the end of the job, at most 60.
        """
        self.data = await self._http.get(self._path(), JobData, wait=wait)
        return self

    async def wait(self, timeout: float | None = None) -> "AsyncJob":
        """Wait until the file is there.

        Args:
            timeout: seconds; None: as long as it takes.

        Raises:
            JobNotCompleted: it failed, was cancelled, or has expired.
            WaitTimedOut: it is still running.
            Unreachable, Unavailable: for two minutes.
        """
        heard = time.monotonic()
        deadline = math.inf if timeout is None else heard + timeout
        while self.data.is_live:
            asked = time.monotonic()
            left = deadline - asked
            if left <= 0:
                raise WaitTimedOut(self.data)
            seconds = int(min(MAX_WAIT, left))
            if not seconds:  # the API waits for whole seconds
                await pause(left)
            try:
                await self.refresh(wait=seconds)
                heard = time.monotonic()
            except (Unreachable, Unavailable):
                if time.monotonic() - heard > PATIENCE:
                    raise
            if self.data.is_live and time.monotonic() - asked < seconds - POLL_SECONDS:
                await pause(POLL_SECONDS)
        return self._completed()

    async def events(self, timeout: float | None = None) -> AsyncIterator[JobData]:
        """The state now, after each change, about once a second while rows are read, and at the end.

        A lost connection is established again.

        Args:
            timeout: seconds, to about a quarter of a minute; None: until the end of the job.

        Raises:
            WaitTimedOut: it is still running.
            ApiError: the API refuses or fails.
            Unreachable: the connection is lost again and again.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        known, failures = "", 0
        while self.data.is_live:
            if (left := deadline - time.monotonic()) <= 0:
                raise WaitTimedOut(self.data)
            reader = EventReader()
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": known} if known else {})}
            try:
                async with self._http.stream(
                    self._path("events"), headers=headers, timeout=min(EVENTS_TIMEOUT, left)
                ) as response:
                    async for line in response.aiter_lines():
                        if event := reader.read(line):
                            known, failures = event.id, 0
                            self.data = JobData.model_validate_json(event.data)
                            yield self.data
                        if time.monotonic() > deadline:
                            break
            except httpx.TransportError as exc:
                failures += 1
                if failures > self._http.retries:
                    raise Unreachable(f"{self._http.url} does not send events: {exc}") from exc
            if self.data.is_live:
                await pause(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    async def download(self, to: str | PathLike[str] | None = None, *, on_progress: OnProgress | None = None) -> Path:
        """Download the file, and return its path.

        An interrupted download is continued, also by a later call. The file has its name only once it is complete
        and its SHA-256 is right; a file of this name is replaced.

        Args:
            to: a file, or a folder; None: the current folder.

        Raises:
            JobNotCompleted: there is no file (yet).
            ChecksumMismatch: the file is not the one that was exported.
            ApiError, Unreachable, OSError: it cannot be read or written.
        """
        data = self._completed().data
        path = target(None if to is None else Path(to), data.file_name or "")
        part = await blocking(partial(PartFile, path, data.sha256 or ""))
        try:
            await self._receive(part, on_progress)
            if part.sha256() != data.sha256 and part.was_continued:
                part.restart()
                await self._receive(part, on_progress)
            if part.sha256() != data.sha256:
                part.discard()
                raise ChecksumMismatch(f"the SHA-256 of {path} is {part.sha256()}, expected {data.sha256}")
            part.keep()
        finally:
            part.close()
        return path

    async def copy_to(self, stream: BinaryIO, *, on_progress: OnProgress | None = None) -> None:
        """Write the file to an open stream, such as `sys.stdout.buffer`; nothing can be taken back.

        Raises:
            JobNotCompleted, ChecksumMismatch, ApiError, Unreachable, OSError: as `download`.
        """
        sink = StreamSink(stream)
        await self._receive(sink, on_progress)
        if sink.sha256() != self.data.sha256:
            raise ChecksumMismatch(f"the SHA-256 of the file is {sink.sha256()}, expected {self.data.sha256}")

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Its deliveries, newest first."""
        async for delivery in self._http.pages(self._path("deliveries"), Delivery, {}, None):
            yield delivery

    async def report(self) -> Report:
        """What the option `columns` did to single rows of the completed file, and what its receiver refuses."""
        return await self._http.get(self._path("report"), Report)

    async def deliver(self, platform_id: str, *, idempotency_key: str | None = None) -> Delivery:
        """Deliver the file again, or to another platform."""
        path, body = self._path("deliveries"), {"platform_id": platform_id}
        answer = await self._http.call("POST", path, body=body, creates=True, idempotency_key=idempotency_key)
        return parsed(Delivery, answer)

    async def cancel(self) -> "AsyncJob":
        """Stop it."""
        return await self._change("cancel")

    async def retry(self) -> "AsyncJob":
        """Start a failed or cancelled job again."""
        return await self._change("retry")

    async def delete(self) -> None:
        """Delete a job that has ended, and its file."""
        await self._http.call("DELETE", self._path())

    async def _change(self, action: str) -> "AsyncJob":
        self.data = parsed(JobData, await self._http.call("POST", self._path(action)))
        return self

    def _path(self, below: str = "") -> str:
        return f"/exports/jobs/{self.id}{below and '/'}{below}"

    def _completed(self) -> "AsyncJob":
        if self.data.status != "completed":
            raise JobNotCompleted(self.data)
        return self

    async def _receive(self, sink: Sink, on_progress: OnProgress | None) -> None:
        """Write what the sink does not have yet, over as many connections as it takes."""
        data, failures = self._completed().data, 0
        size = data.file_size or 0
        while sink.size < size:
            before = sink.size
            headers = {"Accept-Encoding": "identity"}
            if before:
                headers |= {"Range": f"bytes={before}-", "If-Range": f'"{data.sha256}"'}
            try:
                async with self._http.stream(self._path("download"), headers=headers) as response:
                    if before and response.status_code != httpx.codes.PARTIAL_CONTENT:
                        sink.restart()
                    async for chunk in response.aiter_raw():
                        sink.write(chunk)
                        if on_progress is not None:
                            on_progress(sink.size, size)
            except httpx.TransportError as exc:
                failures = 0 if sink.size > before else failures + 1
                if failures > self._http.retries:
                    raise Unreachable(f"the download of export {self.id} is cut off again and again: {exc}") from exc
                await pause(backoff(failures))


class AsyncExports:
    """`client.exports`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self,
        format: str,
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **more: Unpack[ExportOptions],
    ) -> AsyncJob:
        """Start an export; it runs on the server.

        Args:
            format: csv, json, xml, excel, parquet or zip.
            options: as a mapping, for those that are not parameters.
            idempotency_key: the same key and options return the same job; by default, every call makes its own.

        Raises:
            ApiError: an option is not valid; `errors` names it.
        """
        path, body = f"/exports/{segment(format)}/products", {**(options or {}), **more}
        answer = await self._http.call("POST", path, body=body, creates=True, idempotency_key=idempotency_key)
        return AsyncJob(self._http, parsed(JobData, answer))


class AsyncJobs:
    """`client.jobs`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def get(self, job_id: str) -> AsyncJob:
        """One job."""
        return AsyncJob(self._http, await self._http.get(f"/exports/jobs/{segment(job_id)}", JobData))

    async def list(
        self,
        *,
        status: str | None = None,
        format: str | None = None,
        schedule: str | None = None,
        profile: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AsyncJob]:
        """Jobs, newest first; only those of a status, format, schedule or profile."""
        query = {"status": status, "format": format, "schedule": schedule, "profile": profile}
        async for data in self._http.pages("/exports/jobs", JobData, query, limit):
            yield AsyncJob(self._http, data)
