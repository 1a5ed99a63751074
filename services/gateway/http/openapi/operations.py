"""Operations: what a route, or a route with one format, takes and returns."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from services.gateway.http.openapi.callbacks import callbacks_of
from services.gateway.http.openapi.examples import BODIES
from services.gateway.http.openapi.kinds import Kind, Kinds, media_types, operation_id, resolve_names
from services.gateway.http.openapi.links import links_of
from services.gateway.http.openapi.responses import problems_of, success_of
from services.gateway.http.openapi.schemas import reference
from services.gateway.http.openapi.tags import tag_of
from services.gateway.http.route import BYTES_TYPE, LINK_PARAMETERS, PREFIX, Parameter, Route

Part = dict[str, Any]
_ID = {"type": "string", "format": "uuid"}
_PATH_NUMBERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "version": ("Number of the version.", {"type": "integer", "minimum": 1, "maximum": 2**31 - 1, "format": "int32"}),
}
"""What paths have beside ids."""
API_KEY, SIGNED_LINK = "apiKey", "signedLink"


_EXAMPLES_OF = {"preflightProfile": "runProfile"}
"""Operations with the same body as another, besides preflights of formats."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the document."""

    path: str
    method: str
    part: Part


def operations(routes: Sequence[Route], kinds: Kinds) -> Iterator[Operation]:
    """The operations of all routes; those that take options are one for each format."""
    files = media_types(kinds)
    for route in routes:
        for kind in kinds.formats if route.takes_options else [None]:
            path = route.path.replace("{format}", kind.name) if kind else route.path
            part = _operation(route, kind, files)
            links = links_of(route, routes)
            for status, response in part["responses"].items():
                if links and status in ("200", "201", "202"):
                    response["links"] = links
            yield Operation(PREFIX + path, route.method.lower(), part)


def _operation(route: Route, kind: Kind | None, files: Mapping[str, Any]) -> Part:
    identifier = operation_id(route.name, kind)
    scope = f"Scope: `{route.scope}`." if route.scope else "Every API key may call it."
    link: list[Part] = [{SIGNED_LINK: []}] if route.allows_link else []
    body = _body(route, kind, identifier)
    return {
        "operationId": identifier,
        "summary": f"{route.summary} as {kind.name}" if kind else route.summary,
        "description": "\n\n".join(filter(None, (route.description, scope))),
        "tags": [tag_of(route.path)],
        "security": [{API_KEY: []}, *link],
        "parameters": [*_path_parameters(route), *(_parameter(one) for one in _accepted(route))],
        **({"requestBody": body} if body else {}),
        **({"callbacks": callbacks} if (callbacks := callbacks_of(route)) else {}),
        "responses": dict(sorted({**success_of(route, files), **problems_of(route)}.items())),
    }


def _body(route: Route, kind: Kind | None, identifier: str) -> Part:
    if route.is_file_sent:
        return {"required": True, "content": {BYTES_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
    if kind is None and route.body is None:
        return {}
    model = f"{kind.title}Options" if kind else route.body.__name__ if route.body else ""
    content: Part = {"schema": reference(model)}
    if examples := BODIES.get(_EXAMPLES_OF.get(identifier, identifier.replace("preflight", "create"))):
        content["examples"] = {
            name: {"summary": example.summary, "value": example.value} for name, example in examples.items()
        }
    fields = route.body.model_fields.values() if route.body else ()
    return {"required": any(one.is_required() for one in fields), "content": {"application/json": content}}


def _path_parameters(route: Route) -> list[Part]:
    return [
        {"name": name, "in": "path", "required": True, "description": description, "schema": dict(schema)}
        for name in route.ids
        for description, schema in [_PATH_NUMBERS.get(name, (f"Id of the {name[:-3]}.", _ID))]
    ]


def _accepted(route: Route) -> Sequence[Parameter]:
    return (*route.parameters, *(LINK_PARAMETERS if route.allows_link else ()))


def _parameter(parameter: Parameter) -> Part:
    schema = deepcopy(dict(parameter.schema))
    resolve_names(schema)
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": False,
        "description": parameter.description,
        **({"style": "form", "explode": False} if schema.get("type") == "array" else {}),
        "schema": schema,
    }
