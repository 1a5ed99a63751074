"""Puts the document together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.answers.models import Problem
from services.gateway.http.openapi import kinds as by_kind
from services.gateway.http.openapi import schemas as models
from services.gateway.http.openapi.answer_examples import attached
from services.gateway.http.openapi.kinds import Kinds
from services.gateway.http.openapi.operations import API_KEY, SIGNED_LINK, operations
from services.gateway.http.openapi.responses import headers, problems
from services.gateway.http.openapi.tags import described
from services.gateway.http.route import Route

DESCRIPTION = """Exports of product catalogues as files. Request an export, wait until its job is completed
(`Prefer: wait=60`, or the job's events), and download the file from `file_url`. Completed exports are delivered
to platforms; schedules request exports automatically. Errors are `application/problem+json` (RFC 9457) with a
stable `code`.

`HEAD` works wherever `GET` does. Fields that do not apply are absent. New fields may be added to responses, so
ignore those that you do not know."""


@dataclass(frozen=True, slots=True)
class About:
    """What the document says of the deployment.

    Args:
        url: where clients reach the gateway; empty: where they have the document from.
        contact: web page or mail address of those who operate it; may be empty.
    """

    url: str = ""
    contact: str = ""


def document(routes: Sequence[Route], kinds: Kinds, about: About) -> str:
    """The document as JSON text."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations(routes, kinds):
        paths.setdefault(one.path, {})[one.method] = one.part
    own = by_kind.split(models.without_nulls(models.of_models(routes)), kinds)
    schemas = own | by_kind.names(kinds) | models.without_nulls(by_kind.settings(kinds))
    tags = described(tag for path in paths.values() for part in path.values() for tag in part["tags"])
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": _info(about),
            "servers": [{"url": about.url.rstrip("/") or "/", "description": "This gateway."}],
            "security": [{API_KEY: []}],
            "tags": tags,
            "paths": paths,
            "components": {
                "schemas": _used(attached(models.tidied(schemas)), paths),
                "responses": _referred(problems(), paths),
                "headers": _referred(headers(), [paths, problems()]),
                "securitySchemes": {
                    API_KEY: {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "cx_<id>_<secret>",
                        "description": "An API key of the tenant. Its scopes say what it allows.",
                    },
                    SIGNED_LINK: {
                        "type": "apiKey",
                        "in": "query",
                        "name": "signature",
                        "description": "The signature of a job's `file_url`, which has all that a download needs.",
                    },
                },
            },
        }
    )


def _info(about: About) -> dict[str, Any]:
    contact = {"name": "The operator of this gateway"}
    if about.contact:
        contact["url" if "://" in about.contact else "email"] = about.contact
    return {
        "title": "Catalog Exports",
        "version": "1",
        "summary": "Product catalogues as CSV, JSON, XML, Excel, Parquet and ZIP files.",
        "description": DESCRIPTION,
        "contact": contact,
        "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    }


def _used(schemas: models.Schemas, paths: object) -> models.Schemas:
    """The schemas that the paths need, by name."""
    needed: set[str] = set()
    wanted = {Problem.__name__, *models.references(paths)} & set(schemas)
    while wanted:
        needed |= wanted
        wanted = {name for one in wanted for name in models.references(schemas[one])} - needed
    return {name: schemas[name] for name in sorted(needed)}


def _referred(parts: dict[str, Any], whole: object) -> dict[str, Any]:
    """The components that a part of the document refers to."""
    used = set(models.references(whole))
    return {name: part for name, part in parts.items() if name in used}
