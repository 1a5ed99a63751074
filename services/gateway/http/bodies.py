"""The body of a request: checked as HTTP and JSON, and passed on as the text that was sent, with all its digits."""

import json
import re
from typing import Any, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from services.chassis.faults import BadRequest, Violation, violations_of
from services.gateway.errors import BodyTooLarge, NotJson, WrongMediaType

_TYPE_NAMES = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
_MEMBER = re.compile(r'[\s,]*(")')
_COLON = re.compile(r"\s*:\s*")

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
        BodyTooLarge, WrongMediaType, NotJson, BadRequest: 413, 415, 400, 422.
    """
    raw = await _read(request)
    if not raw.strip():
        return "{}"
    media_type = request.content_type
    if "Content-Type" in request.headers and media_type != "application/json" and not media_type.endswith("+json"):
        raise WrongMediaType(media_type)
    try:
        text = raw.decode()
        body = json.loads(text, object_pairs_hook=_unique, parse_constant=_reject_constant)
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
        raise NotJson("it is nested too deeply") from exc
    if not isinstance(body, dict):
        found = _TYPE_NAMES.get(type(body), "a number")
        raise BadRequest([Violation("body", f"must be a JSON object such as {{}}, not {found}")])
    return text


async def _read(request: web.Request) -> bytes:
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLarge(limit)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as exc:
        raise BodyTooLarge(limit) from exc
    except web.RequestPayloadError as exc:
        raise NotJson("its Content-Encoding cannot be decoded") from exc


def member(text: str, name: str) -> str | None:
    """The text of one member of a valid JSON object, with all digits of its numbers."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while (found := _MEMBER.match(text, at)) is not None:
        key, after = decoder.raw_decode(text, found.start(1))
        start = _COLON.match(text, after).end()  # type: ignore[union-attr]  # every member has one
        _, at = decoder.raw_decode(text, start)
        if key == name:
            return text[start:at]
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members, if no key is repeated."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1).encode(errors="replace").decode()
        raise BadRequest([Violation(repeated, "the key is repeated")])
    return found


def _reject_constant(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON value", constant, 0)
