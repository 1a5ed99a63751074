"""Checks answers against the OpenAPI document: status, headers, media type and body."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest

from tests.rest import Answer, Rest

# Every server sends these; they describe the message and not the resource.
ORDINARY = {"date", "server", "content-type", "content-length", "transfer-encoding", "connection", "keep-alive"}
ORDINARY |= {
    "vary",
    "content-encoding",
    "access-control-allow-origin",
    "access-control-expose-headers",
}  # where CORS is switched on


@dataclass
class Contract:
    """One document."""

    document: Mapping[str, Any]
    _validators: dict[tuple[str, int, str], Any] = field(default_factory=dict)

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        """Patterns and paths, those without an id first."""
        paths = sorted(self.document["paths"], key=lambda path: path.count("{"))
        return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]

    def violations(self, method: str, url: str, answer: Answer) -> Iterator[str]:
        """How an answer differs from the document; nothing for a path or method that the document does not have."""
        found = [path for pattern, path in self._paths if pattern.fullmatch(urlsplit(url).path)]
        operations = [self.document["paths"][path] for path in found]
        wanted = method.lower()
        operation = next((one[wanted] for one in operations if wanted in one), None)
        if operation is None and wanted == "head":
            operation = next((one["get"] for one in operations if "get" in one), None)
        if operation is None:
            return
        name = operation["operationId"]
        response = operation["responses"].get(str(answer.status))
        if response is None:
            yield f"{name}: the status {answer.status} is not documented"
            return
        response = self._resolved(response)
        yield from (f"{name} {answer.status}: {text}" for text in self._of_headers(response, answer))
        if method != "HEAD":
            yield from (f"{name} {answer.status}: {text}" for text in self._of_body(name, response, answer))

    def _resolved(self, part: Any) -> Any:
        while "$ref" in part:
            _, kind, name = part["$ref"].removeprefix("#/").split("/")
            part = self.document["components"][kind][name]
        return part

    def _of_headers(self, response: Any, answer: Answer) -> Iterator[str]:
        documented = {name.lower(): self._resolved(one)["schema"] for name, one in response.get("headers", {}).items()}
        for name, text in answer.headers.items():
            if name in ORDINARY:
                continue
            if name not in documented:
                yield f"the header {name} is not documented"
            else:
                schema = documented[name]
                value = int(text) if schema["type"] == "integer" and text.isdigit() else text
                if not jsonschema_rs.is_valid(schema, value):
                    yield f"the header {name} is {text!r}"

    def _of_body(self, name: str, response: Any, answer: Answer) -> Iterator[str]:
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        content = response.get("content", {})
        if not content:
            if answer.body:
                yield "there is a body"
        elif "content-encoding" in answer.headers:
            return  # its content is that of the response without one
        elif media_type not in content:
            yield f"the media type {media_type!r} is not documented"
        elif media_type.endswith("json") and content[media_type]["schema"].get("format") != "binary":
            validator = self._validator(name, answer.status, content[media_type]["schema"])
            for error in validator.iter_errors(answer.json):
                yield f"{list(error.instance_path)}: {error.message[:500]}"

    def _validator(self, name: str, status: int, schema: Any) -> Any:
        key = (name, status, str(schema))
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[key]


@contextmanager
def checked(contract: Contract) -> Iterator[None]:
    """Every answer to `Rest` in the block is as documented."""
    call = Rest.call
    found: dict[str, Answer] = {}

    def checking(client: Rest, method: str, path: str, *args: Any, **named: Any) -> Answer:
        answer = call(client, method, path, *args, **named)
        url = path if path.startswith("http") else f"{client.url}/api/v1{path}"
        found.update(dict.fromkeys(contract.violations(method, url, answer), answer))
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rest, "call", checking)
        yield
    if found:
        pytest.fail("\n".join(f"{text}\n    {answer}" for text, answer in found.items()), pytrace=False)
