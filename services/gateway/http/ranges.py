"""The bytes of a file that a request asks for: conditions, and one range at a time (RFC 9110)."""

from dataclasses import dataclass

from aiohttp import web

from services.gateway.errors import RangeNotSatisfiable


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start + 1


def requested_range(request: web.Request, size: int, *, etag: str, last_modified: str) -> ByteRange | None:
    """The range to send; None for the whole file, also for a header that RFC 9110 says to ignore.

    `If-Range` must name the strong tag or the exact Last-Modified of the file, or the range is ignored.

    Raises:
        RangeNotSatisfiable: the range is empty or starts beyond the end, or there are several ranges.
    """
    header = request.headers.get("Range")
    if header is None or request.headers.get("If-Range", etag).strip() not in (etag, last_modified):
        return None
    unit, _, ranges = header.partition("=")
    if unit.lower() == "bytes" and "," in ranges:
        raise RangeNotSatisfiable(size, "Only one range per request is supported")
    try:
        requested = request.http_range
    except ValueError:
        return None
    start, stop, _ = requested.indices(size)
    # aiohttp reads `-0`, the last 0 bytes, as the whole file.
    if start >= stop or (requested.start == 0 and ranges.startswith("-")):
        raise RangeNotSatisfiable(size, "The range is empty or starts beyond the end of the file")
    return ByteRange(start, stop - 1)


def is_not_modified(request: web.Request, etag: str) -> bool:
    """Whether `If-None-Match` says that the client already has the file; tags compare weakly (RFC 9110, 13.1.2)."""
    return any(tag.value in ("*", etag.strip('"')) for tag in request.if_none_match or ())
