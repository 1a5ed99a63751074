"""Checks a request against the catalogue before it is accepted: a typing mistake is an error, not an empty file."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from services.chassis.faults import BadRequest, Unavailable, Violation
from services.chassis.mongo import Document, is_transient
from services.chassis.recent import Recent
from services.exporter.catalogue.column_store import ColumnStore, request_key
from services.exporter.catalogue.columns import lineage, near_names
from services.exporter.catalogue.snapshot import database_name
from services.exporter.requests.filters import Filter, fields, misread, name_problem, paths, place, shown
from services.exporter.requests.request import FILTERED_SHEET, CheckedRequest
from services.exporter.requests.sample import CatalogueSample

SAMPLE_SECONDS = 2.0
MAX_LIST_MILLIS = 5_000
MAX_REPORTED = 10
MAX_KEYS = 5
"""Of a name, between which locales and currencies are tried."""
EXISTS_SECONDS = 5.0
"""How long it is remembered that a tenant has a catalogue."""


class FieldChecks:
    """Checks requests against the catalogues of their tenants."""

    def __init__(self, client: MongoClient[Document], columns: ColumnStore) -> None:
        self._client = client
        self._columns = columns
        self._existing = Recent[bool](EXISTS_SECONDS)

    async def check(self, tenant: str, request: CheckedRequest, seconds: float = SAMPLE_SECONDS) -> None:
        """As `check_fields`; a request that names no field only needs a catalogue."""
        options = request.options
        names_fields = bool(
            fields(request.filter)
            or options.order
            or options.include_fields
            or options.columns
            or options.explode is not None
        )
        if not names_fields and self._existing.get(tenant):
            return
        known: Sequence[str] = ()
        if names_fields:
            known = (await self._columns.recall(tenant, FILTERED_SHEET, request_key({}, None, ()))).order
        await asyncio.to_thread(check_fields, self._client, tenant, request, known, seconds=seconds)
        self._existing.put(tenant, True)


def check_fields(
    client: MongoClient[Document],
    tenant: str,
    request: CheckedRequest,
    known: Iterable[str],
    *,
    seconds: float = SAMPLE_SECONDS,
) -> None:
    """Refuse a request for fields or values that no product has. Blocks: call it in a thread.

    Args:
        known: names of columns from earlier exports; these are not checked again.
        seconds: time limit for the queries; what cannot be checked within it is accepted.

    Raises:
        BadRequest: with similar names, or what the field holds.
        Unavailable: the catalogue does not answer.
    """
    try:
        database = client[database_name(tenant)]
        # With `authorizedCollections`, the right to read the collection is enough.
        if not database.list_collection_names(
            filter={"name": FILTERED_SHEET}, authorizedCollections=True, maxTimeMS=MAX_LIST_MILLIS
        ):
            text = f"tenant {tenant!r} has no catalogue yet; load products first"
            raise BadRequest([Violation("tenant", text)], code="catalogue_missing")
        sample = CatalogueSample(database[FILTERED_SHEET], seconds)
        _check_names(sample, request, tuple(known))
        _check_values(sample, request.filter)
    except PyMongoError as exc:
        if not is_transient(exc):
            raise
        raise Unavailable("catalogue_unavailable", "The catalogue does not answer; try again shortly.") from exc


def _check_names(sample: CatalogueSample, request: CheckedRequest, known: tuple[str, ...]) -> None:
    """Every field to filter or order by must exist, and at least one of the included ones."""
    codes = sorted({code for reduction in request.options.reductions for code in reduction.named})
    there = _with_parents(_reduced(known, codes))
    named = [(place(name), name) for name in fields(request.filter)]
    options = request.options
    named += [("order_by", name) for name, _ in options.order]
    if options.explode:
        named.append(("explode", options.explode))
    for number, column in enumerate(options.columns or ()):
        named += [(f"columns[{number}].{where}", name) for where, name in column.named()]
    asked = options.include_fields or ()
    if all(name in there for _, name in named) and (not asked or not there.isdisjoint(asked)):
        return
    sampled, is_whole = sample.sampled_names()
    there |= _with_parents(_reduced(sampled, codes))
    unknown = [(where, name) for where, name in named if name not in there and not sample.has_any(_stored(name, codes))]
    # Names that MongoDB has no path for can only be checked in the sample.
    if (
        asked
        and there.isdisjoint(asked)
        and (is_whole or _all_reachable(asked))
        and not sample.has_any([stored for name in asked for stored in _stored(name, codes)])
    ):
        unknown += [("include_fields", name) for name in asked]
    if unknown:
        raise BadRequest(_reported(sample, unknown, tuple(dict.fromkeys([*known, *sampled]))), code="unknown_field")


def _reduced(names: Iterable[str], codes: Sequence[str]) -> Iterator[str]:
    """The names, and those that fields have once these locales and currencies have taken the place of their objects."""
    for name in names:
        yield name
        if codes:
            keys = name.split(".")
            yield ".".join(key for key in keys if key not in codes) or name


def _stored(name: str, codes: Sequence[str]) -> list[str]:
    """The names that a field may have in MongoDB: with no locale or currency in it, or with one."""
    keys = name.split(".")
    places = range(1, min(len(keys), MAX_KEYS))
    inside = (".".join([*keys[:at], code, *keys[at:]]) for at in places for code in codes)
    return [name, *inside]


def _with_parents(names: Iterable[str]) -> set[str]:
    return {parent for name in names for parent in lineage(name)}


def _all_reachable(names: Iterable[str]) -> bool:
    return all(name_problem(name) is None for name in names)


def _reported(sample: CatalogueSample, unknown: Sequence[tuple[str, str]], known: tuple[str, ...]) -> list[Violation]:
    violations = []
    for where, name in unknown[:MAX_REPORTED]:
        near = () if sample.is_over() else _near_names(sample, name, known)  # slow among thousands of names
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        violations.append(Violation(where, f"no product has the field {shown(name)!r}{hint}"))
    if len(unknown) > MAX_REPORTED:
        where = unknown[MAX_REPORTED][0]
        violations.append(Violation(where, f"no product has {len(unknown) - MAX_REPORTED:,} more of the named fields"))
    return violations


def _near_names(sample: CatalogueSample, name: str, known: tuple[str, ...]) -> list[str]:
    """Similar names that a product has; columns of earlier exports may no longer exist."""
    return [near for near in near_names(name, known) if sample.has_any([near]) and not sample.is_over()]


def _check_values(sample: CatalogueSample, wanted: Filter) -> None:
    """Refuse a value when neither the sample nor any other product holds something it can be compared with."""
    kinds = {name: sample.kinds(name) for name in fields(wanted)}
    wrong = [
        Violation(place(found.name), found.message)
        for found in misread(wanted, kinds)
        if not sample.finds({"$or": [{path: {"$type": sorted(found.kinds)}} for path in paths(found.name)]})
    ]
    if wrong:
        raise BadRequest(wrong[:MAX_REPORTED])
