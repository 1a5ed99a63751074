"""Downloads: a finished file, or one range of it, streamed from the artifact store in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from email.utils import format_datetime
from urllib.parse import quote

import structlog
from aiohttp import web
from prometheus_client import Counter

from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore, StoreUnavailable
from services.chassis.faults import Unavailable
from services.chassis.running import Running
from services.gateway.answers.jobs import POLL_SECONDS, STATUSES, at
from services.gateway.clients.exporter import ExporterClient
from services.gateway.errors import FileGone, NoFile, NotFinished, TooManyDownloads
from services.gateway.http.compression import MIN_BYTES, chosen_encoding, compressed
from services.gateway.http.ids import job_id_in_path
from services.gateway.http.ranges import is_not_modified, requested_range
from services.gateway.http.route import BYTES_TYPE, Caller, Parameter, Route
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

GET_PARAMETERS = (
    Parameter("Range", "One range of bytes: `bytes=0-1023`.", where="header"),
    Parameter("If-Range", "The file's ETag; the range is ignored if the file has another one.", where="header"),
    Parameter(
        "If-None-Match", "The ETag of a file that you already have; 304 if it is still the same.", where="header"
    ),
)
PATH, SCOPE = "/exports/jobs/{job_id}/download", "exports:read"
MISSING = (404, 409, 410)
"""Statuses for a job without a file."""
BYTES = Counter("gateway_download_bytes_total", "Bytes of files sent.")
BUSY_SECONDS = 5.0
"""`Retry-After` when there are too many downloads."""


class DownloadSlots:
    """Limits the downloads that run at the same time, in this process and per API key."""

    def __init__(self, total: int, per_key: int) -> None:
        self._total = total
        self._per_key = per_key
        self._running = Running()

    @contextmanager
    def hold(self, key_id: str) -> Iterator[None]:
        """Take a slot.

        Raises:
            TooManyDownloads: the key, with its links, has all that it may have.
            Unavailable: the process has.
        """
        if self._running.of(key_id) >= self._per_key:
            raise TooManyDownloads(self._per_key, BUSY_SECONDS)
        if self._running.total() >= self._total:
            raise Unavailable("downloads_busy", "Too many downloads are running.", retry_after=BUSY_SECONDS)
        with self._running.one_more(key_id):
            yield


class DownloadRoutes:
    """`GET` and `HEAD /exports/jobs/{id}/download`.

    Args:
        stall: seconds after which a client that receives nothing is disconnected.
    """

    def __init__(self, exporter: ExporterClient, blobs: BlobStore, slots: DownloadSlots, stall: float) -> None:
        self._exporter = exporter
        self._slots = slots
        self._blobs = blobs
        self._stall = stall

    @Route("GET", PATH, SCOPE, (200, None), GET_PARAMETERS, faults=(*MISSING, 416), is_file=True, allows_link=True)
    async def download_file(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Download a job's file."""
        file = await self._exporter.file(caller.tenant, job_id_in_path(request))
        job = file.job
        _check_has_file(job)
        headers, size = _headers(job, request.headers.get("Accept", "")), job.artifact.size_bytes
        if is_not_modified(request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        if request.method == "HEAD":  # RFC 9110, 14.2: a range is ignored here
            with _translate_errors():
                await self._blobs.stat(file.artifact_key)
            return web.Response(headers={**headers, "Content-Length": str(size)})
        part = requested_range(request, size, etag=headers["ETag"], last_modified=headers["Last-Modified"])
        encoding = "" if part or size < MIN_BYTES else chosen_encoding(request, headers["Content-Type"])
        if encoding:
            return await self._send_compressed(request, file, headers, encoding, caller)
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = part.length if part else size
        if part:
            response.headers["Content-Range"] = f"bytes {part.start}-{part.end}/{size}"
        chunks = self._blobs.read(file.artifact_key, part.start if part else 0, response.content_length)
        with self._slots.hold(caller.key_id):
            return await self._send(request, response, chunks)

    async def _send_compressed(
        self, request: web.Request, file: pb.JobFile, headers: dict[str, str], encoding: str, caller: Caller
    ) -> web.StreamResponse:
        """Send the whole file compressed; such a response has no ranges, and its length is not known before."""
        sent = {**headers, "Content-Encoding": encoding, "ETag": f"W/{headers['ETag']}", "Accept-Ranges": "none"}
        response = web.StreamResponse(headers=sent)
        size = file.job.artifact.size_bytes
        chunks = compressed(self._blobs.read(file.artifact_key, 0, size), encoding, size)
        with self._slots.hold(caller.key_id):
            return await self._send(request, response, chunks)

    @Route("HEAD", PATH, SCOPE, (200, None), faults=MISSING, is_file=True, allows_link=True)
    async def describe_file(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Size and hash of a job's file."""
        return await self.download_file(request, caller)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, chunks: AsyncGenerator[bytes, None]
    ) -> web.StreamResponse:
        """Send the chunks. If they end early, the connection is aborted, so that the file never looks complete."""
        async with aclosing(chunks):
            with _translate_errors():  # before the status is sent, so that a problem can still be sent instead
                first = await anext(chunks, b"")
            await response.prepare(request)
            try:
                sent = await self._write(response, first)
                async for chunk in chunks:
                    sent += await self._write(response, chunk)
                if response.content_length is not None and sent != response.content_length:
                    raise BlobMissing("the file in the store is shorter than recorded")
                await response.write_eof()
            except (BlobError, TimeoutError, ValueError) as exc:
                log.warning("download_aborted", action="download", path=request.path, reason=repr(exc))
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, chunk: bytes) -> int:
        if chunk:
            async with asyncio.timeout(self._stall):
                await response.write(chunk)
            BYTES.inc(len(chunk))
        return len(chunk)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Errors of the artifact store as faults."""
    try:
        yield
    except BlobMissing as exc:
        raise FileGone from exc
    except StoreUnavailable as exc:
        raise Unavailable("artifact_store_unavailable", "The artifact store is unavailable; try again later.") from exc


def _check_has_file(job: pb.Job) -> None:
    status = STATUSES[job.state]
    if status == "processing":
        raise NotFinished(POLL_SECONDS)
    if status == "expired":
        raise FileGone
    if status == "cancelled":
        raise NoFile("job_cancelled", "The export was cancelled and has no file; retry the job to create it.")
    if status == "failed":
        raise NoFile(job.error.code or "job_failed", f"The export failed and has no file: {job.error.message}")


def _headers(job: pb.Job, accept: str) -> dict[str, str]:
    name = job.artifact.file_name
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return {
        "Content-Type": _media_type(job.artifact.media_type, accept),
        "Vary": "Accept, Accept-Encoding",
        "ETag": f'"{job.artifact.sha256}"',
        "Last-Modified": format_datetime(at(job.finished_at).replace(microsecond=0), usegmt=True),
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def _media_type(own: str, accept: str) -> str:
    """The file's own media type, or that of plain bytes for a client that accepts only these."""
    accepted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    name = own.partition(";")[0]
    is_accepted = not accepted.isdisjoint({name, f"{name.partition('/')[0]}/*", "*/*"})
    return BYTES_TYPE if BYTES_TYPE in accepted and not is_accepted else own
