"""Checks a request without reading the catalogue: format, options, filters, file name. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from services.chassis.faults import BadRequest, Violation, violations_of
from services.exporter.errors import UnknownFormat
from services.exporter.formats.contract import ExportOptions, Format
from services.exporter.requests.filters import Filter, FilterError, name_problem, parse_filter, paths, shown
from services.file_names import template_problem

FILTERED_SHEET = "products"
"""The collection that fields and filters apply to; other sheets are exported whole."""
MAX_OPTIONS_BYTES = 256 * 1024
"""Of a request's options, which are stored on the job."""


MAX_PROBLEMS = 100
"""That are reported of one request."""


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request whose parts are all valid."""

    format: Format
    options: ExportOptions
    filter: Filter
    sort: tuple[tuple[str, int], ...]
    """MongoDB's paths and directions; ends with `_id`, so that the order is always the same. Empty: as stored."""
    hash: str
    """Of format and options; equal for equal requests."""


def check_request(formats: Mapping[str, Format], name: str, options_json: str) -> CheckedRequest:
    """Parse and check a request.

    Raises:
        UnknownFormat: there is no such format.
        BadRequest: with every field that is wrong.
    """
    form = formats.get(name)
    if form is None:
        raise UnknownFormat(name, formats)
    body = parse_options(options_json)
    try:
        options = form.Options.model_validate(body)
    except ValidationError as exc:
        raise BadRequest(
            violations_of(exc, unknown="is not an option of this format", refused=form.Options.refused)
        ) from exc
    options, problems = options.completed()
    if problems:
        raise BadRequest([Violation(where, what) for where, what in problems[:MAX_PROBLEMS]])
    problem = template_problem(options.file_name) if options.file_name is not None else None
    if problem is not None:
        raise BadRequest([Violation("file_name", problem)])
    try:
        filters = parse_filter(options.filters)
    except FilterError as exc:
        raise BadRequest([Violation(where, what) for where, what in exc.problems]) from exc
    unknown = [name for name, _ in options.order if name_problem(name) is not None]
    if unknown:
        text = f"MongoDB has no path for {shown(unknown[0])!r}, so products cannot be ordered by it"
        raise BadRequest([Violation("order_by", text)])
    if options.explode is not None and (
        name_problem(options.explode) is not None or paths(options.explode)[-1] == "_id"
    ):
        text = f"MongoDB has no path for {shown(options.explode)!r}, so its items cannot become rows"
        raise BadRequest([Violation("explode", text)])
    canonical = json.dumps([name, body], sort_keys=True, default=repr, separators=(",", ":"))
    return CheckedRequest(form, options, filters, _sort(options), hashlib.sha256(canonical.encode()).hexdigest())


def _sort(options: ExportOptions) -> tuple[tuple[str, int], ...]:
    keys = {paths(name)[-1]: direction for name, direction in options.order}
    return tuple((keys | ({} if "_id" in keys else {"_id": 1})).items()) if keys else ()


def parse_options(options_json: str) -> dict[str, Any]:
    """The options as an object, with exact numbers.

    Raises:
        BadRequest: they are too long, or not a JSON object; names `options_json`.
    """
    if len(options_json.encode(errors="replace")) > MAX_OPTIONS_BYTES:
        raise BadRequest([Violation("options_json", f"is larger than {MAX_OPTIONS_BYTES:,} bytes")])
    try:
        body = json.loads(options_json or "{}", parse_float=_exact, parse_constant=_refuse)
        json.dumps(body, ensure_ascii=False, default=str).encode()  # ValueError on an unpaired surrogate
    except (ValueError, RecursionError) as exc:
        raise BadRequest([Violation("options_json", f"is not JSON: {exc}")]) from exc
    if not isinstance(body, dict):
        raise BadRequest([Violation("options_json", "must be a JSON object, such as {}")])
    return body


def _exact(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation as exc:
        raise ValueError("a number has an exponent of too many digits") from exc


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON value")
