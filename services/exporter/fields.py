"""Checks a request against the catalogue before it is accepted: a typing mistake is an error now, not an empty file.

Looks are bounded in time; what is not found out in time is accepted, and becomes a warning on the job if it was wrong.
"""

from collections.abc import Iterable
from typing import Any, cast

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout, PyMongoError

from services.chassis.faults import Unavailable, Violation
from services.chassis.mongo import Document, is_passing
from services.exporter.catalogue import database_name
from services.exporter.columns import is_at_or_below, near_names
from services.exporter.errors import BadRequest
from services.exporter.export import ALL_FIELDS, FILTERED_SHEET
from services.exporter.filters import FilterError, check_values, fields
from services.exporter.requests import CheckedRequest
from services.exporter.transcode import discover

LOOK_MS = 2_000
SAMPLE = 1_000


def check_fields(client: MongoClient[Document], tenant: str, request: CheckedRequest, known: Iterable[str]) -> None:
    """Refuse a request about fields or values that no product has. Blocks; to be called in a thread.

    Args:
        known: names of columns met in earlier exports; a name among them is not looked for.

    Raises:
        BadRequest: with near names, or what the field holds.
        Unavailable: the catalogue is away.
    """
    try:
        database = client[database_name(tenant)]
        if not database.list_collection_names(filter={"name": FILTERED_SHEET}):
            text = f"tenant {tenant!r} has no catalogue yet; load products first"
            raise BadRequest([Violation("tenant", text)], code="catalogue_missing")
        _check(database[FILTERED_SHEET], request, tuple(known))
    except PyMongoError as exc:
        if not is_passing(exc):
            raise
        raise Unavailable("catalogue_unavailable", "The catalogue does not answer; try again shortly.") from exc


def _check(products: Collection[Document], request: CheckedRequest, known: tuple[str, ...]) -> None:
    asked = request.options.include_fields or ()
    filtered = fields(request.filter)
    found = {name for name in {*asked, *filtered} if _exists(products, name, known)}
    if len(found) < len({*asked, *filtered}):
        names = known or _sampled_names(products)
        violations = [_unknown(f"filters.{name}", name, names) for name in filtered if name not in found]
        if asked and not found.intersection(asked):
            violations += [_unknown("include_fields", name, names) for name in asked]
        if violations:
            raise BadRequest(violations, code="unknown_field")
    if filtered:
        _check_kinds(products, request)


def _unknown(where: str, name: str, known: Iterable[str]) -> Violation:
    near = near_names(name, known)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    return Violation(where, f"no product has the field {name!r}{hint}")


def _exists(products: Collection[Document], name: str, known: tuple[str, ...]) -> bool:
    if any(is_at_or_below(column, name) for column in known):
        return True
    if "\\" in name:
        return name in _sampled_names(products)
    path = "_id" if name == "id" else name
    try:
        return products.find_one({path: {"$exists": True}}, {"_id": 1}, max_time_ms=LOOK_MS) is not None
    except ExecutionTimeout:
        return True


def _sampled_names(products: Collection[Document]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for batch in products.find_raw_batches({}, limit=SAMPLE):
        discover(cast(bytes, batch), ALL_FIELDS, seen)
    return tuple(seen)


def _check_kinds(products: Collection[Document], request: CheckedRequest) -> None:
    for sample in (SAMPLE, None):
        try:
            kinds = {name: _kinds(products, name, sample) for name in fields(request.filter)}
            check_values(request.filter, kinds)
            return
        except ExecutionTimeout:
            return
        except FilterError as exc:
            if sample is None:
                raise BadRequest([Violation(where, what) for where, what in exc.problems]) from exc


def _kinds(products: Collection[Document], name: str, sample: int | None) -> frozenset[str]:
    """MongoDB's names of the types a field holds, looking into lists; of the first `sample` products that have it."""
    path = "_id" if name == "id" else name
    value = f"${path}"
    of_list = {"$map": {"input": value, "in": {"$type": "$$this"}}}
    stages: list[dict[str, Any]] = [{"$match": {path: {"$exists": True}}}]
    stages += [{"$limit": sample}] if sample is not None else []
    stages += [
        {"$project": {"kind": {"$cond": [{"$isArray": value}, of_list, [{"$type": value}]]}}},
        {"$unwind": "$kind"},
        {"$group": {"_id": "$kind"}},
    ]
    return frozenset(group["_id"] for group in products.aggregate(stages, maxTimeMS=LOOK_MS))
