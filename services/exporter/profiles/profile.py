"""A profile: a format and options that a tenant has saved under a name. Pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.chassis import json_text
from services.chassis.faults import BadRequest, Violation

OPTIONS = "options_json"
REQUEST_FIELDS = (OPTIONS, "tenant")
"""Fields of a request that violations name; others are in the options."""
MAX_VERSIONS = 50
"""Versions of a profile that are kept, with the newest. Jobs have a copy of their options, so none needs an old one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as stored, or an earlier version of it."""

    id: str
    tenant: str
    name: str
    format: str
    options_json: str
    """As jobs store them: as they were sent, with `platform_ids`."""
    created_at: datetime
    """Of the profile."""
    updated_at: datetime
    """When this version was made."""
    request_hash: str = ""
    """Of the request that has created the profile."""
    version: int = 1

    @property
    def content(self) -> tuple[str, str, str]:
        """What a new version is made for."""
        return self.name, self.format, self.options_json


def merged(options_json: str, overrides_json: str) -> str:
    """Options with single ones replaced; null removes one. Values are moved as text, with all their digits.

    Args:
        options_json, overrides_json: valid JSON objects.
    """
    found = dict(json_text.members(options_json))
    for name, value in json_text.members(overrides_json):
        found.pop(name, None)
        if value != "null":
            found[name] = value
    return f"{{{', '.join(f'{json.dumps(name, ensure_ascii=False)}: {value}' for name, value in found.items())}}}"


def creation_hash(name: str, form: str, options: Mapping[str, Any]) -> str:
    """Recognizes a repeated request for a profile; how the JSON of its options is written makes no difference."""
    return _hash(["new profile", name, form, options])


def run_hash(profile_id: str, overrides: Mapping[str, Any]) -> str:
    """Recognizes a repeated request for a job of a profile, also if the profile was changed in between."""
    return _hash(["run of profile", profile_id, overrides])


def _hash(request: object) -> str:
    canonical = json.dumps(request, sort_keys=True, default=repr, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@contextmanager
def naming_options() -> Iterator[None]:
    """Around a check of options that are only a part of the request: violations name `options_json.<option>`."""
    try:
        yield
    except BadRequest as exc:
        renamed = [Violation(_option(violation.field), violation.message) for violation in exc.violations]
        raise BadRequest(renamed, code=exc.code) from exc


def _option(field: str) -> str:
    return field if field in REQUEST_FIELDS else f"{OPTIONS}.{field}"
