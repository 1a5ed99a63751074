"""The body of a request: checked as HTTP and JSON, and passed on as the text that was sent, with all its digits."""

import asyncio
import contextlib
import json
import zlib
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from services.chassis.faults import BadRequest, Violation, violations_of
from services.chassis.json_text import members
from services.gateway.errors import BodyTooLarge, NotJson, SlowBody, WrongEncoding, WrongFileType, WrongMediaType

BODY_TIMEOUT = web.AppKey("body_timeout", float)
"""Seconds that a client may take to send a body."""
LARGE_BODY_SLOTS = web.AppKey("large_body_slots", asyncio.Semaphore)
"""Limits the bodies of more than `LARGE_BODY` bytes that are received at the same time; others wait."""
LARGE_BODY = 64 * 1024
MAX_MEMBERS = 10_000
"""Members of all objects of a body."""
MAX_BRACKETS = 10_000
"""`[` and `{` of a body, in its strings too: counting them is much cheaper than parsing them."""
MAX_DEPTH = 32
TOO_DEEP = f"it is nested too deeply, more than {MAX_DEPTH} levels"
_TYPE_NAMES = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}

Model = TypeVar("Model", bound=BaseModel)


async def parse_body(request: web.Request, model: type[Model]) -> Model:
    """The body as a model.

    Raises:
        Fault: as `json_object`, and 422 with a violation for every invalid field.
    """
    text = await json_object(request)
    try:
        return model.model_validate_json(text)
    except ValidationError as exc:
        raise BadRequest(violations_of(exc, unknown="is not a field of this body")) from exc


async def json_object(request: web.Request) -> str:
    """The text of the JSON object in the body; an empty body is `{}`.

    Raises:
        SlowBody, BodyTooLarge, WrongMediaType, NotJson, BadRequest: 408, 413, 415, 400, 422.
    """
    raw = await _read(request)
    if not raw.strip():
        return "{}"
    media_type = request.content_type
    if "Content-Type" in request.headers and media_type != "application/json" and not media_type.endswith("+json"):
        raise WrongMediaType(media_type)
    try:
        text = raw.decode()
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise BadRequest([Violation("body", f"has more than {MAX_BRACKETS:,} brackets, [ or {{")])
        body = json.loads(text, object_pairs_hook=_Objects(), parse_constant=_reject_constant)
        _check_depth(body)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeDecodeError as exc:
        raise NotJson("it is not UTF-8") from exc
    except UnicodeEncodeError as exc:
        raise NotJson("a string is not valid Unicode: unpaired surrogate") from exc
    except json.JSONDecodeError as exc:
        raise NotJson(f"{exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    except ValueError as exc:
        raise NotJson("a number has too many digits") from exc
    except RecursionError as exc:
        raise NotJson(TOO_DEEP) from exc
    if not isinstance(body, dict):
        found = _TYPE_NAMES.get(type(body), "a number")
        raise BadRequest([Violation("body", f"must be a JSON object such as {{}}, not {found}")])
    return text


async def file_body(request: web.Request, media_types: Sequence[str]) -> bytes:
    """The file in the body, of one of these media types.

    Raises:
        SlowBody, BodyTooLarge, WrongFileType, BadRequest: 408, 413, 415, 422.
    """
    if request.content_type not in media_types:
        raise WrongFileType(request.content_type, media_types)
    raw = await _read(request)
    if not raw:
        raise BadRequest([Violation("body", "is empty; send the content of a file")])
    return raw


def options_in(body: str) -> str:
    """The options in a valid body, as the text that was sent."""
    return dict(members(body)).get("options", "{}")


async def _read(request: web.Request) -> bytes:
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLarge(limit)
    is_small = request.content_length is not None and request.content_length <= LARGE_BODY
    slot = contextlib.nullcontext() if is_small else request.app[LARGE_BODY_SLOTS]
    try:
        async with asyncio.timeout(request.app[BODY_TIMEOUT]), slot:
            return _decoded(await request.read(), request.headers.get("Content-Encoding", ""), limit)
    except TimeoutError as exc:
        raise SlowBody(request.app[BODY_TIMEOUT]) from exc
    except web.HTTPRequestEntityTooLarge as exc:
        raise BodyTooLarge(limit) from exc
    except web.RequestPayloadError as exc:
        raise NotJson("it was not received as its headers say") from exc


def _decoded(raw: bytes, encoding: str, limit: int) -> bytes:
    """The content of a body, which aiohttp would decode, too: but with it a damaged one waits for the timeout.

    Raises:
        WrongEncoding, NotJson, BodyTooLarge: 415, 400, 413.
    """
    name = encoding.strip().lower()
    if not raw or name in ("", "identity"):
        return raw
    if name not in ("gzip", "x-gzip", "deflate"):
        raise WrongEncoding(encoding)
    # Some clients send the deflate format without the header of zlib (RFC 9110, 8.4.1.2).
    is_bare = name == "deflate" and raw[:1] != b"" and raw[0] & 0x0F != zlib.DEFLATED
    decoder = zlib.decompressobj(-zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS | 32)
    try:
        content = decoder.decompress(raw, limit + 1)
    except zlib.error as exc:
        raise NotJson("its Content-Encoding cannot be decoded") from exc
    if len(content) > limit:
        raise BodyTooLarge(limit)
    if not decoder.eof or decoder.unused_data:
        raise NotJson("its Content-Encoding cannot be decoded")
    return content


class _Objects:
    """Makes the objects of one body; their keys must be unique, and their members at most `MAX_MEMBERS` in total."""

    def __init__(self) -> None:
        self._members = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._members += len(pairs)
        if self._members > MAX_MEMBERS:
            raise BadRequest([Violation("body", f"has more than {MAX_MEMBERS:,} members")])
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise BadRequest([Violation(name.encode(errors="replace").decode(), "the key is repeated")])
            found[name] = value
        return found


def _check_depth(body: object) -> None:
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            if isinstance(container, (dict, list))
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise NotJson(TOO_DEEP)


def _reject_constant(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON value", constant, 0)
