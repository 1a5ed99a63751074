"""Which bytes of a file a request asks for: conditions and one range at a time (RFC 9110). Pure."""

import re
from dataclasses import dataclass

from services.gateway.errors import RangeBeyond

_ONE = re.compile(r"(\d{0,19})-(\d{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start + 1


def wanted(header: str | None, size: int) -> ByteRange | None:
    """The range a `Range` header asks for; None: the whole file, also for a header RFC 9110 says to ignore.

    Raises:
        RangeBeyond: it begins beyond the end, or there are several.
    """
    unit, _, text = (header or "").partition("=")
    if unit.strip().lower() != "bytes":
        return None
    if "," in text:
        raise RangeBeyond(size, "Only one range at a time is served")
    found = _ONE.fullmatch(text.strip())
    if found is None or found[0] == "-":
        return None
    first, last = found[1], found[2]
    if not first:
        if int(last) == 0 or size == 0:
            raise RangeBeyond(size, "The range is empty")
        return ByteRange(max(0, size - int(last)), size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeBeyond(size, "The range begins beyond the end")
    return ByteRange(int(first), min(int(last), size - 1) if last else size - 1)


def is_known(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` says that the client has the file already; tags compare weakly (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or tags == ["*"]


def holds(header: str | None, etag: str, last_modified: str) -> bool:
    """Whether the file is still the one that `If-Range` names: its strong tag, or its very Last-Modified."""
    return header is None or header.strip() in (etag, last_modified)
