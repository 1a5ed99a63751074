"""Downloads: the finished file straight from the artifact store, whole or a range of it, in bounded memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from email.utils import format_datetime
from urllib.parse import quote

import structlog
from aiohttp import web
from prometheus_client import Counter

from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore, StoreUnavailable
from services.chassis.faults import Unavailable
from services.gateway.errors import FileGone, NoFile, NotFinished
from services.gateway.exporter_client import ExporterClient
from services.gateway.job_answers import STATUSES, at
from services.gateway.job_ids import job_id_of
from services.gateway.ranges import holds, wanted
from services.gateway.route import Caller, Parameter, Route
from services.gateway.routes.exports import POLL_SECONDS
from services.wire import exporter_pb2 as pb

log = structlog.get_logger()

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
        """GET; aiohttp is told of HEAD where it is registered."""
        return [
            Route(
                method,
                "/exports/jobs/{job_id}/download",
                self.download,
                "exports:read",
                summary,
                (200, None),
                parameters=[
                    Parameter("Range", "One range of bytes: `bytes=0-1023`.", where="header"),
                    Parameter(
                        "If-Range", "The file's ETag: the range counts if it is still that file.", where="header"
                    ),
                ],
                faults=(404, 409, 410, 416),
                is_file=True,
                allows_link=True,
            )
            for method, summary in (("GET", "Download a job's file"), ("HEAD", "Size and hash of a job's file"))
        ]

    async def download(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """The file, or one range of it."""
        job = await self._exporter.get(caller.tenant, job_id_of(request))
        _check_has_file(job)
        etag = f'"{job.artifact.sha256}"'
        modified = format_datetime(at(job.finished_at).replace(microsecond=0), usegmt=True)
        headers = {**_headers(job), "ETag": etag, "Last-Modified": modified}
        if etag in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
            return web.Response(status=304, headers=headers)
        size = job.artifact.size
        asked = request.headers.get("Range") if holds(request.headers.get("If-Range"), etag, modified) else None
        part = wanted(asked, size)
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = part.length if part else size
        if part:
            response.headers["Content-Range"] = f"bytes {part.start}-{part.end}/{size}"
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        chunks = self._blobs.read(job.artifact.key, part.start if part else 0, part.length if part else size)
        return await self._send(request, response, chunks)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        """Send the chunks; an answer that cannot be finished is broken off, so that it never looks whole."""
        async with aclosing(chunks):  # type: ignore[type-var]  # every store's read is an asynchronous generator
            first = await _first(chunks)
            await response.prepare(request)
            try:
                await self._write(response, first)
                async for chunk in chunks:
                    await self._write(response, chunk)
                await response.write_eof()
            except (BlobError, TimeoutError) as exc:
                log.warning("download_broken_off", action="download", path=request.path, reason=repr(exc))
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, chunk: bytes) -> None:
        if chunk:
            async with asyncio.timeout(self._stall):
                await response.write(chunk)
            BYTES.inc(len(chunk))


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    """The first chunk, before a status is sent: a file that is not there is still a problem with its own status."""
    try:
        return await anext(chunks, b"")
    except BlobMissing as exc:
        raise FileGone from exc
    except StoreUnavailable as exc:
        raise Unavailable("artifact_store_unavailable", "The artifact store does not answer; try again.") from exc


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
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
