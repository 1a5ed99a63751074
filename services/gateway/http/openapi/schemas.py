"""JSON Schemas of bodies and responses as the document has them: what may be absent is absent, and never null."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from services.gateway.answers.models import Problem
from services.gateway.answers.webhooks import ReportedEvent
from services.gateway.http.route import Route

Schema = dict[str, Any]
Schemas = dict[str, Schema]

REF = "#/components/schemas/{model}"
_NULL = {"type": "null"}
_INT32 = 2**31


def reference(model: str) -> Schema:
    """A schema that stands for a model's."""
    return {"$ref": REF.format(model=model)}


def of_models(routes: Sequence[Route]) -> Schemas:
    """The schemas of the models of all bodies, responses and reported events, by name."""
    models: dict[type, Literal["validation", "serialization"]] = {Problem: "serialization"}
    models[ReportedEvent] = "serialization"
    for route in routes:
        models |= dict.fromkeys(route.models, "serialization")
        if route.body is not None:
            models[route.body] = "validation"
    _, made = models_json_schema(list(models.items()), ref_template=REF)
    return dict(made["$defs"])


def without_nulls(schemas: Schemas) -> Schemas:
    """The schemas, changed in place: what is null by default is absent.

    The services still take null for it, as earlier documents said.
    """
    for inner in _within(schemas):
        for field in inner.get("properties", {}).values():
            if "default" in field and field["default"] is None:
                del field["default"]
                _remove_null(field)
    return schemas


def tidied(schemas: Schemas) -> Schemas:
    """The schemas, changed in place."""
    for inner in _within(schemas):
        _tidy_number(inner)
        for field in inner.get("properties", {}).values():
            field.pop("title", None)
            _tell_default(field)
            _shorten_null(field)
    for schema in schemas.values():
        schema.pop("title", None)
    return schemas


def _within(schemas: Schemas) -> list[Schema]:
    return [inner for schema in schemas.values() for inner in subschemas(schema)]


def subschemas(schema: Schema) -> Iterator[Schema]:
    """The schema and all within it."""
    yield schema
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(key, ()):
            yield from subschemas(inner)
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            yield from subschemas(schema[key])
    for key in ("properties", "$defs"):
        for inner in schema.get(key, {}).values():
            yield from subschemas(inner)


def references(value: object) -> Iterator[str]:
    """The names of all schemas that a part of the document refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.rpartition("/")[2]
            elif key == "mapping":
                yield from (text.rpartition("/")[2] for text in inner.values())
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def _remove_null(schema: Schema) -> None:
    options = [option for option in schema.get("anyOf", ()) if option != _NULL]
    if len(options) == 1:
        del schema["anyOf"]
        for key, value in options[0].items():
            schema.setdefault(key, value)
    elif options:
        schema["anyOf"] = options


def _shorten_null(schema: Schema) -> None:
    options = schema.get("anyOf", [])
    others = [option for option in options if option != _NULL]
    if len(others) == 1 and len(options) == 2 and not {"$ref", "enum", "const"} & set(others[0]):
        del schema["anyOf"]
        for key, value in others[0].items():
            schema.setdefault(key, [value, "null"] if key == "type" else value)


def _tell_default(schema: Schema) -> None:
    """The default in words: openapi-typescript makes fields with a default required, in bodies of requests too."""
    default = schema.pop("default", None)
    if default not in (None, {}, []):
        text = f"Default: `{json.dumps(default)}`."
        schema["description"] = " ".join(filter(None, (schema.get("description"), text)))


def _tidy_number(schema: Schema) -> None:
    """Without a format, clients in some languages have too few bits."""
    if schema.get("type") == "integer":
        schema.setdefault("format", "int32" if schema.get("maximum", _INT32) < _INT32 else "int64")
    elif schema.get("type") == "number":
        schema.setdefault("format", "double")
