"""Responses and their headers: successful ones by route, and the problems that every route has."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from operator import itemgetter
from typing import Any

from services.gateway.answers.models import Answer, Page, Problem
from services.gateway.http.openapi.answer_examples import problem
from services.gateway.http.openapi.schemas import reference
from services.gateway.http.problems import MEDIA_TYPE
from services.gateway.http.route import Route

Part = dict[str, Any]

ALWAYS = (400, 401, 405, 422, 429, 500, 503)
"""Statuses of the problems of every route."""
WITH_BODY = (408, 413, 415)
"""Those of every route with a body."""
PHRASES = {
    400: "The body is not JSON (`not_json`), or the Host header is not valid (`bad_host`).",
    401: "The API key or the signed link is missing or not valid.",
    403: "The API key lacks the scope of this operation.",
    404: "There is no such resource, or it belongs to another tenant.",
    405: "The path does not have this method; `Allow` names those that it has.",
    408: "The body was not received in time.",
    409: "Not possible in the current state; `code` says why.",
    410: "The file was removed by retention.",
    412: "The resource has changed since: its ETag is not the one in `If-Match`.",
    413: "The body is too large.",
    415: "The media type or the encoding of the body is not supported.",
    416: "The range cannot be satisfied.",
    422: "The request is well-formed but not valid; `errors` names the fields.",
    429: "Too many requests, or a limit of the tenant is reached; `Retry-After` says when to try again.",
    500: "An unexpected error; the operator finds its cause by the `request_id`.",
    503: "A service behind the gateway is unavailable; `Retry-After` says when to try again.",
}

_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 1, "format": "int32"}
_TAG = {"type": "string", "pattern": '^(W/)?"[^"]*"$'}
HEADERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "X-Request-Id": (
        "Id of the request, as in the logs: the one that it had in this header, or a new one.",
        {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    ),
    "RateLimit-Policy": ("The limit of the API key: `q` requests in `w` seconds.", _TEXT),
    "RateLimit": ("Requests that are left (`r`), and seconds until all of them are (`t`).", _TEXT),
    "Location": ("Path of what was made.", {"type": "string", "format": "uri-reference"}),
    "Link": ('The next page, with `rel="next"` (RFC 8288); absent on the last one.', _TEXT),
    "Retry-After": ("Seconds after which to try again, or to ask for the job again.", _SECONDS),
    "Idempotent-Replayed": (
        "`true`: an earlier request with this Idempotency-Key has made it.",
        {"type": "string", "const": "true"},
    ),
    "Preference-Applied": ("The preference that was honoured.", {"type": "string", "pattern": "^wait=[0-9]+$"}),
    "WWW-Authenticate": ("How to authenticate.", _TEXT),
    "Allow": ("The methods of the path.", _TEXT),
    "ETag": ("Changes with the content; of a file, its SHA-256.", _TAG),
    "Last-Modified": ("When the file was made.", _TEXT),
    "Content-Disposition": ("The name of the file (RFC 6266).", _TEXT),
    "Content-Length": ("Size in bytes.", {"type": "integer", "minimum": 0, "format": "int64"}),
    "Content-Range": ("Which bytes are sent, or of a 416, how many there are.", _TEXT),
    "Accept-Ranges": (
        "`bytes`: a part of the file can be requested; `none` while it is compressed on its way.",
        {"type": "string", "enum": ["bytes", "none"]},
    ),
    "Cache-Control": ("How the response may be kept.", _TEXT),
    "X-Content-Type-Options": ("`nosniff`.", {"type": "string", "const": "nosniff"}),
    "Vary": ("Request headers that the response depends on.", _TEXT),
    "X-Accel-Buffering": ("`no`: proxies must not hold events back.", {"type": "string", "const": "no"}),
}
WHOLE = "The whole file. Its media type is that of its format, or plain bytes if `Accept` allows only these."
EVERY = ("X-Request-Id", "RateLimit-Policy", "RateLimit")
OF_FILE = (
    "ETag",
    "Last-Modified",
    "Content-Disposition",
    "Accept-Ranges",
    "Cache-Control",
    "Vary",
    "X-Content-Type-Options",
)
OF_PROBLEMS: Mapping[int, tuple[str, ...]] = {
    401: ("X-Request-Id", "WWW-Authenticate"),
    405: ("X-Request-Id", "Allow"),
    409: (*EVERY, "Retry-After"),
    416: (*EVERY, "Content-Range"),
    429: (*EVERY, "Retry-After"),
    503: (*EVERY, "Retry-After"),
}


def headers_of(names: Iterable[str]) -> Part:
    """The headers of a response."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def headers() -> Part:
    """All headers, for the document's components."""
    return {
        name: {"description": description, "schema": dict(schema)} for name, (description, schema) in HEADERS.items()
    }


def problems() -> Part:
    """All problems, for the document's components."""
    return {_name(status): _problem(status, has_body=True) for status in PHRASES}


def problems_of(route: Route) -> Part:
    """The problems of a route."""
    statuses = {
        *ALWAYS,
        *route.faults,
        *(WITH_BODY if route.has_body else ()),
        *((403,) if route.scope else ()),
    }
    if route.method == "HEAD":
        return {str(status): _problem(status, has_body=False) for status in sorted(statuses)}
    return {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted(statuses)}


def success_of(route: Route, files: Mapping[str, Any]) -> Part:
    """The successful responses of a route.

    Args:
        files: the media types of files, with their schemas.
    """
    if route.is_file:
        return _file(route, files)
    answers = [route.answer, *([route.also] if route.also else [])]
    made = {str(status): _answer(route, model) for status, model in sorted(answers, key=itemgetter(0))}
    if route.has_etag:
        made["304"] = {
            "description": "The client already has it: its ETag is in `If-None-Match`.",
            "headers": headers_of((*EVERY, "ETag")),
        }
    return made


def _file(route: Route, files: Mapping[str, Any]) -> Part:
    unmodified = {
        "description": "The client already has the file: its ETag is in `If-None-Match`.",
        "headers": headers_of((*EVERY, *OF_FILE)),
    }
    whole = {"headers": headers_of((*EVERY, *OF_FILE, "Content-Length"))}
    if route.method == "HEAD":
        return {"200": {"description": "The headers of the download, without the file.", **whole}, "304": unmodified}
    part = {"headers": headers_of((*EVERY, *OF_FILE, "Content-Length", "Content-Range"))}
    return {
        "200": {"description": WHOLE, **whole, "content": dict(files)},
        "206": {"description": "The requested range.", **part, "content": dict(files)},
        "304": unmodified,
    }


def _answer(route: Route, model: type[Answer] | None) -> Part:
    is_page = model is not None and issubclass(model, Page)
    more = (*route.headers, *(("ETag",) if route.has_etag else ()), *(("Link",) if is_page else ()))
    sent: Part = {"headers": headers_of((*EVERY, *more))}
    if model is None:
        return {"description": "Done.", **sent}
    description = (model.__doc__ or "").partition("\n")[0]
    if route.is_event_stream:
        text = f"Server-Sent Events; the data of each is a `{model.__name__}` in JSON, without `deliveries`."
        return {"description": text, **sent, "content": {"text/event-stream": {"schema": {"description": text}}}}
    return {
        "description": description,
        **sent,
        "content": {
            "application/json": {"schema": reference(model.__name__)},
            **({route.also_media_type: {"schema": {"type": "string"}}} if route.also_media_type else {}),
        },
    }


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "").replace("-", "")


def _problem(status: int, *, has_body: bool) -> Part:
    content = {MEDIA_TYPE: {"schema": reference(Problem.__name__), **problem(status)}}
    return {
        "description": PHRASES[status],
        "headers": headers_of(OF_PROBLEMS.get(status, EVERY)),
        **({"content": content} if has_body else {}),
    }
