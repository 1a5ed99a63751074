"""Downloads: the finished file straight from the artifact store, whole or a range of it, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from email.utils import format_datetime
from urllib.parse import quote

import structlog
from aiohttp import web
from prometheus_client import Counter

from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore, StoreUnavailable
from services.chassis.faults import Unavailable
from services.gateway.answers.jobs import STATUSES, at
from services.gateway.clients.exporter import ExporterClient
from services.gateway.errors import FileGone, NoFile, NotFinished
from services.gateway.http.job_ids import job_id_of
from services.gateway.http.ranges import ByteRange, holds, is_known, wanted
from services.gateway.http.route import Caller, Parameter, Route
from services.gateway.routes.exports import POLL_SECONDS
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

GET_PARAMETERS = (
    Parameter("Range", "One range of bytes: `bytes=0-1023`.", where="header"),
    Parameter("If-Range", "The file's ETag: the range counts if it is still that file.", where="header"),
    Parameter("If-None-Match", "The ETag of the file that is there already: 304 if it is still that.", where="header"),
)
BYTES = Counter("gateway_download_bytes_total", "Bytes of files sent.")


class DownloadRoutes:
    """`GET` and `HEAD /exports/jobs/{id}/download`.

    Args:
        stall: seconds after which a client that takes nothing is given up.
    """

    def __init__(self, exporter: ExporterClient, blobs: BlobStore, stall: float) -> None:
        self._exporter = exporter
        self._blobs = blobs
        self._stall = stall

    def routes(self) -> list[Route]:
        """Both."""
        path, scope, answer = "/exports/jobs/{job_id}/download", "exports:read", (200, None)
        missing = (404, 409, 410)
        return [
            Route(
                "GET",
                path,
                self.download,
                scope,
                "Download a job's file",
                answer,
                parameters=GET_PARAMETERS,
                faults=(*missing, 416),
                is_file=True,
                allows_link=True,
            ),
            Route(
                "HEAD",
                path,
                self.download,
                scope,
                "Size and hash of a job's file",
                answer,
                faults=missing,
                is_file=True,
                allows_link=True,
            ),
        ]

    async def download(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """The file, or one range of it."""
        job = await self._exporter.get(caller.tenant, job_id_of(request))
        _check_has_file(job)
        headers, size = _headers(job), job.artifact.size
        if is_known(request.headers.get("If-None-Match"), headers["ETag"]):
            return web.Response(status=304, headers=headers)
        if request.method == "HEAD":  # RFC 9110, 14.2: a range means nothing here
            with _missing_is_gone():
                await self._blobs.stat(job.artifact.key)
            return web.Response(headers={**headers, "Content-Length": str(size)})
        part = _part(request, headers, size)
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = part.length if part else size
        if part:
            response.headers["Content-Range"] = f"bytes {part.start}-{part.end}/{size}"
        chunks = self._blobs.read(job.artifact.key, part.start if part else 0, response.content_length)
        return await self._send(request, response, chunks)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, chunks: AsyncGenerator[bytes, None]
    ) -> web.StreamResponse:
        """Send the chunks; an answer that cannot be finished is broken off, so that it never looks whole."""
        async with aclosing(chunks):
            with _missing_is_gone():  # before a status is sent, so that it is still a problem with its own
                first = await anext(chunks, b"")
            await response.prepare(request)
            try:
                sent = await self._write(response, first)
                async for chunk in chunks:
                    sent += await self._write(response, chunk)
                if sent != response.content_length:
                    raise BlobMissing("the file in the store is shorter than it was made")
                await response.write_eof()
            except (BlobError, TimeoutError) as exc:
                log.warning("download_broken_off", action="download", path=request.path, reason=repr(exc))
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
def _missing_is_gone() -> Iterator[None]:
    """Around the first look into the store."""
    try:
        yield
    except BlobMissing as exc:
        raise FileGone from exc
    except StoreUnavailable as exc:
        raise Unavailable("artifact_store_unavailable", "The artifact store does not answer; try again.") from exc


def _part(request: web.Request, headers: Mapping[str, str], size: int) -> ByteRange | None:
    """The range that is asked for, if it is one of the file as it is now."""
    if not holds(request.headers.get("If-Range"), headers["ETag"], headers["Last-Modified"]):
        return None
    return wanted(request.headers.get("Range"), size)


def _check_has_file(job: pb.Job) -> None:
    status = STATUSES[job.state]
    if status == "processing":
        raise NotFinished(POLL_SECONDS)
    if status == "expired":
        raise FileGone
    if status == "cancelled":
        raise NoFile("job_cancelled", "The export was cancelled, so there is no file; start it again with retry.")
    if status == "failed":
        raise NoFile(job.error.code or "job_failed", f"The export failed, so there is no file: {job.error.message}")


def _headers(job: pb.Job) -> dict[str, str]:
    name = job.artifact.file_name
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return {
        "Content-Type": job.artifact.media_type,
        "ETag": f'"{job.artifact.sha256}"',
        "Last-Modified": format_datetime(at(job.finished_at).replace(microsecond=0), usegmt=True),
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
