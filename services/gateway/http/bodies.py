"""The body of a request, checked as far as HTTP and JSON go and passed on as it came, with all its digits."""

import json
import re
from typing import Any, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from services.chassis.faults import Fault, Kind, Violation, violations_of
from services.gateway.errors import BodyTooLarge, NotAnObject, NotJson, WrongMediaType

_WORDS = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
_MEMBER = re.compile(r'[\s,]*(")')
_COLON = re.compile(r"\s*:\s*")

Model = TypeVar("Model", bound=BaseModel)


async def parsed(request: web.Request, model: type[Model]) -> Model:
    """The body as a model.

    Raises:
        Fault: as `json_object`, and 422 naming every field that is wrong.
    """
    text = await json_object(request)
    try:
        return model.model_validate_json(text)
    except ValidationError as exc:
        found = violations_of(exc, unknown="is not a field of this body")
        message = "; ".join(f"{v.field}: {v.message}" for v in found)[:2000]
        raise Fault("invalid_request", message, kind=Kind.INVALID, violations=found) from exc


async def json_object(request: web.Request) -> str:
    """The text of the JSON object in the body; an empty body is `{}`.

    Raises:
        BodyTooLarge, WrongMediaType, NotJson, NotAnObject: as the contract has it, 413, 415, 400, 422.
    """
    if request.content_length is not None and request.content_length > request.client_max_size:
        raise BodyTooLarge(request.client_max_size)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as exc:
        raise BodyTooLarge(request.client_max_size) from exc
    except web.RequestPayloadError as exc:
        raise NotJson("its Content-Encoding cannot be undone") from exc
    if not raw.strip():
        return "{}"
    stated = request.headers.get("Content-Type")
    if stated is not None and request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise WrongMediaType(request.content_type)
    try:
        text = raw.decode()
        body = json.loads(text, object_pairs_hook=_once_each, parse_constant=_refuse)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeDecodeError as exc:
        raise NotJson("it is not UTF-8") from exc
    except UnicodeEncodeError as exc:
        raise NotJson("a text holds half a surrogate pair") from exc
    except json.JSONDecodeError as exc:
        raise NotJson(f"{exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    except ValueError as exc:
        raise NotJson("a number has too many digits") from exc
    except RecursionError as exc:
        raise NotJson("it is nested too deep") from exc
    if not isinstance(body, dict):
        raise NotAnObject(_WORDS.get(type(body), "a number"))
    return text


def member(text: str, name: str) -> str | None:
    """The text of one member of a JSON object that was checked before, with all digits of its numbers."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while (found := _MEMBER.match(text, at)) is not None:
        key, after = decoder.raw_decode(text, found.start(1))
        start = _COLON.match(text, after).end()  # type: ignore[union-attr]  # it is there in every object
        _, at = decoder.raw_decode(text, start)
        if key == name:
            return text[start:at]
    return None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1).encode(errors="replace").decode()
        text = f"the key {twice!r} is given twice"
        raise Fault("invalid_request", f"In the body {text}.", kind=Kind.INVALID, violations=[Violation(twice, text)])
    return found


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON value", constant, 0)
