"""The OpenAPI 3.1 document, generated from the routes, their models, and the exporter's models of the options."""

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from pydantic.json_schema import models_json_schema

from services.gateway.answers.models import Answer, Problem
from services.gateway.http.problems import MEDIA_TYPE
from services.gateway.http.route import PREFIX, Route
from services.wire import exporter_pb2 as pb

REF = "#/components/schemas/{model}"
ALWAYS = (401, 403, 422, 429, 503)
WITH_BODY = (400, 408, 413, 415)
"""Statuses of the problems of every route with a body."""
PHRASES = {
    400: "The body is not JSON.",
    401: "The API key is missing or not valid.",
    403: "The key lacks the scope.",
    404: "There is no such resource, or it belongs to another tenant.",
    408: "The body was not received in time.",
    409: "Not possible in the current state; `code` says why.",
    410: "The file was removed by retention.",
    413: "The body is too large.",
    415: "The media type of the body is not JSON.",
    416: "The range cannot be satisfied.",
    422: "The request is well-formed but not valid; `errors` names the fields.",
    429: "Too many requests; `Retry-After` says when to try again.",
    503: "A service behind the gateway is unavailable; `Retry-After` says when to try again.",
}
DESCRIPTION = """Exports of product catalogues as files. Request an export, wait until its job is completed
(`Prefer: wait=60`, or the job's events), and download the file from `file_url`. Completed exports are delivered
to platforms; schedules request exports automatically. Errors are `application/problem+json` (RFC 9457) with a
stable `code`."""


def document(routes: Sequence[Route], formats: Sequence[pb.FormatDescription]) -> str:
    """The document as JSON text."""
    schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path, operation in _operations(route, formats, schemas):
            paths.setdefault(PREFIX + path, {})[route.method.lower()] = operation
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "Catalog Exports", "version": "1", "description": DESCRIPTION},
            "security": [{"apiKey": []}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "cx_<id>_<secret>"}},
            },
        }
    )


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """The models of all bodies and responses, by name."""
    answers = {route.answer[1]: "serialization" for route in routes if route.answer[1] is not None}
    bodies = {route.body: "validation" for route in routes if route.body is not None}
    models = [*answers.items(), *bodies.items(), (Problem, "serialization")]
    _, made = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # the pairs' literal is inferred as str
    return dict(made["$defs"])


def _operations(
    route: Route, formats: Sequence[pb.FormatDescription], schemas: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """A route's operations: one, or one for each format."""
    if not route.takes_options:
        operation = _operation(route, route.summary)
        if route.body is not None:
            operation["requestBody"] = _body(route.body.__name__, required=True)
        return [(route.path, operation)]
    made = []
    for form in formats:
        name = f"{form.name.capitalize()}Options"
        schema = json.loads(form.options_schema_json)
        schemas.update(_flattened(schema, name))
        operation = _operation(route, f"{route.summary} as {form.name}", form.name)
        operation["requestBody"] = _body(name, required=False)
        made.append((route.path.replace("{format}", form.name), operation))
    return made


def _body(model: str, *, required: bool) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": {"$ref": REF.format(model=model)}}}}


def _flattened(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema under `name`, and its definitions as schemas of their own."""
    inner = schema.pop("$defs", {})
    text = json.dumps({name: schema, **{f"{name}.{key}": value for key, value in inner.items()}})
    return dict(json.loads(text.replace('"#/$defs/', f'"#/components/schemas/{name}.')))


def _operation(route: Route, summary: str, form: str = "") -> dict[str, Any]:
    parts = [part.strip("{}") for part in route.path.split("/")]
    return {
        "summary": summary,
        "operationId": "_".join([route.method.lower(), *(form if p == "format" else p for p in parts if p)]),
        "tags": [parts[1]],
        "description": f"Requires the scope `{route.scope}`." if route.scope else "Requires no scope.",
        "parameters": [*_path_parameters(route), *_parameters(route)],
        "responses": {
            **_success(route),
            **{str(status): _problem(status) for status in _problems(route)},
        },
    }


def _problems(route: Route) -> list[int]:
    has_body = route.takes_options or route.body is not None
    return sorted({*ALWAYS, *route.faults, *(WITH_BODY if has_body else ())})


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    ids = [part.strip("{}") for part in route.path.split("/") if part.startswith("{") and part != "{format}"]
    schema = {"type": "string", "format": "uuid"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in ids]


def _parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": p.name, "in": p.where, "required": False, "description": p.description, "schema": dict(p.schema)}
        for p in route.parameters
    ]


def _success(route: Route) -> Mapping[str, Any]:
    status, model = route.answer
    if route.is_file:
        if route.method == "HEAD":
            return {"200": {"description": "The headers of the download, without the file."}}
        file: dict[str, Any] = {"content": {"application/octet-stream": {}}}
        unmodified = {"description": "The client already has the file: its ETag is in If-None-Match."}
        return {
            "200": {"description": "The whole file.", **file},
            "206": {"description": "The requested range.", **file},
            "304": unmodified,
        }
    if model is None:
        return {str(status): {"description": "Done."}}
    media_type = "text/event-stream" if route.is_event_stream else "application/json"
    answers = [(status, model), *([route.also] if route.also else [])]
    return {str(number): _answer(found, media_type) for number, found in sorted(answers, key=itemgetter(0))}


def _answer(model: type[Answer], media_type: str) -> dict[str, Any]:
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"description": model.__doc__ or "", "content": {media_type: {"schema": schema}}}


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": PHRASES[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
    }
