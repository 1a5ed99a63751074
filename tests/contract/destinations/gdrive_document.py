"""Google's own description of the Drive API v3, its discovery document: the requests there are, and their parts."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from googleapiclient.discovery_cache import get_static_doc

from tests.contract.destinations.gdrive_store import Refusal

_NAME = re.compile(r"\*|\w+")
_VALUES = {"boolean": r"true|false", "integer": r"-?\d+"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}

Selection = dict[str, Any]
"""A `fields` parameter: names, each with what is selected below it, or empty for all of it. `*` is every name."""


@dataclass(frozen=True)
class Method:
    """A method of the API. The schemas are those of its body and of its answer, if it has any."""

    id: str
    parameters: Mapping[str, Any]
    body: Mapping[str, Any] | None
    answer: Mapping[str, Any] | None


@cache
def document() -> Any:
    """The discovery document that comes with Google's client."""
    return json.loads(get_static_doc("drive", "v3"))


def check(verb: str, path: str, query: Mapping[str, str]) -> Method:
    """The method of a request, whose parameters are as the document says.

    Raises:
        Refusal.
    """
    method = _method(verb, path)
    allowed = {**document()["parameters"], **method.parameters}
    for name, value in query.items():
        if name not in allowed or allowed[name].get("location") == "path":
            raise Refusal(400, "invalidParameter", f"{method.id} has no parameter {name}.")
        _check_value(name, value, allowed[name])
    if "fields" in query:
        check_selection(selection(query["fields"]), method.answer)
    return method


def _method(verb: str, path: str) -> Method:
    plain = re.sub(r"^(/upload)?/drive/v3/", "", path)
    of_files = document()["resources"]["files"]["methods"].values()
    # A path without a template goes first: generateIds is not the id of a file.
    for found in sorted(of_files, key=lambda method: "{" in method["path"]):
        template = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(found["path"]))
        if found["httpMethod"] == verb and re.fullmatch(template, plain):
            if path.startswith("/upload") and "mediaUpload" not in found:
                break
            return Method(found["id"], found.get("parameters", {}), found.get("request"), found.get("response"))
    raise Refusal(404, "notFound", f"The API has no method for {verb} {path}.")


def _check_value(name: str, value: str, parameter: Mapping[str, Any]) -> None:
    pattern = _VALUES.get(parameter["type"], ".*")
    low, high = int(parameter.get("minimum", 0)), int(parameter.get("maximum", 10**9))
    right = re.fullmatch(pattern, value, re.DOTALL) and value in parameter.get("enum", [value])
    if not right or (parameter["type"] == "integer" and not low <= int(value) <= high):
        raise Refusal(400, "invalidParameter", f"Invalid value {value!r} for {name}.")


def check_body(value: Any, schema: Mapping[str, Any] | None, where: str = "body") -> None:
    """Check JSON against a schema of the document.

    Raises:
        Refusal.
    """
    if schema is None:
        raise Refusal(400, "badRequest", "This method has no body.")
    schema = _resolved(schema)
    if not isinstance(value, _TYPES[schema.get("type", "object")]):
        raise Refusal(400, "parseError", f"Invalid value at {where}.")
    for name, inner in value.items() if isinstance(value, dict) else ():
        known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        if known is None:
            raise Refusal(400, "parseError", f"Unknown name {name!r} at {where}.")
        check_body(inner, known, f"{where}.{name}")
    for inner in value if isinstance(value, list) else ():
        check_body(inner, schema["items"], f"{where}[]")


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document()["schemas"][schema["$ref"]] if "$ref" in schema else schema
    return found


def selection(text: str) -> Selection:
    """Read a `fields` parameter: `a,b(c,d),e/f`.

    Raises:
        Refusal.
    """
    found, end = _selection(text, 0)
    if end != len(text):
        raise Refusal(400, "invalidParameter", f"Invalid field selection {text[end:]}")
    return found


def _selection(text: str, at: int) -> tuple[Selection, int]:
    found: Selection = {}
    while True:
        name = _NAME.match(text, at)
        if name is None:
            raise Refusal(400, "invalidParameter", f"Invalid field selection {text[at:]}")
        inner: Selection = {}
        at = name.end()
        if text[at : at + 1] == "/":
            last = _NAME.match(text, at + 1)
            inner, at = ({last[0]: {}}, last.end()) if last else ({}, at)
        elif text[at : at + 1] == "(":
            inner, at = _selection(text, at + 1)
            at += text[at : at + 1] == ")"
        found[name[0]] = inner
        if text[at : at + 1] != ",":
            return found, at
        at += 1


def check_selection(chosen: Selection, schema: Mapping[str, Any] | None) -> None:
    """Check the selected names against the schema of an answer.

    Raises:
        Refusal.
    """
    schema = _resolved(schema or {})
    schema = _resolved(schema["items"]) if schema.get("type") == "array" else schema
    for name, inner in chosen.items():
        known = {"*": schema, **schema.get("properties", {})}.get(name) or schema.get("additionalProperties")
        if known is None:
            raise Refusal(400, "invalidParameter", f"Invalid field selection {name}")
        if inner:
            check_selection(inner, known)


def selected(resource: Any, chosen: Selection) -> Any:
    """What a selection leaves of an answer."""
    if isinstance(resource, list):
        return [selected(one, chosen) for one in resource]
    if not chosen or not isinstance(resource, dict):
        return resource
    parts = {name: chosen.get(name, chosen.get("*")) for name in resource}
    return {name: selected(resource[name], inner) for name, inner in parts.items() if inner is not None}
