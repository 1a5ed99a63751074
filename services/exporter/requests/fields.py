"""Checks a request against the catalogue before it is accepted: a typing mistake is an error now, not an empty file."""

from collections.abc import Iterable, Sequence

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from services.chassis.faults import BadRequest, Unavailable, Violation
from services.chassis.mongo import Document, is_transient
from services.exporter.catalogue.columns import lineage, near_names
from services.exporter.catalogue.sample import Look
from services.exporter.catalogue.snapshot import database_name
from services.exporter.export.plan import FILTERED_SHEET
from services.exporter.requests.filters import Filter, fields, misread, name_problem, paths, place, shown
from services.exporter.requests.request import CheckedRequest

LOOK_SECONDS = 2.0
MOST_REPORTED = 10


def check_fields(
    client: MongoClient[Document],
    tenant: str,
    request: CheckedRequest,
    known: Iterable[str],
    *,
    seconds: float = LOOK_SECONDS,
) -> None:
    """Refuse a request about fields or values that no product has. Blocks; to be called in a thread.

    Args:
        known: names of columns met in earlier exports; a name among them is not looked for.
        seconds: to look into the catalogue; what is not found out by then is accepted.

    Raises:
        BadRequest: with near names, or what the field holds.
        Unavailable: the catalogue is away.
    """
    try:
        database = client[database_name(tenant)]
        if not database.list_collection_names(filter={"name": FILTERED_SHEET}):
            text = f"tenant {tenant!r} has no catalogue yet; load products first"
            raise BadRequest([Violation("tenant", text)], code="catalogue_missing")
        look = Look(database[FILTERED_SHEET], seconds)
        _check_names(look, request, tuple(known))
        _check_values(look, request.filter)
    except PyMongoError as exc:
        if not is_transient(exc):
            raise
        raise Unavailable("catalogue_unavailable", "The catalogue does not answer; try again shortly.") from exc


def _check_names(look: Look, request: CheckedRequest, known: tuple[str, ...]) -> None:
    """Every filtered field has to exist, of the included ones at least one."""
    there = _with_parents(known)
    filtered = [name for name in fields(request.filter) if name not in there]
    asked = request.options.include_fields or ()
    if not filtered and (not asked or not there.isdisjoint(asked)):
        return
    sampled, is_whole = look.sampled_names()
    there |= _with_parents(sampled)
    unknown = [(place(name), name) for name in filtered if name not in there and not look.has_any([name])]
    # The sample is all there is to tell of names that MongoDB has no path for.
    if asked and there.isdisjoint(asked) and (is_whole or _all_reachable(asked)) and not look.has_any(asked):
        unknown += [("include_fields", name) for name in asked]
    if unknown:
        raise BadRequest(_reported(look, unknown, tuple(dict.fromkeys([*known, *sampled]))), code="unknown_field")


def _with_parents(names: Iterable[str]) -> set[str]:
    return {parent for name in names for parent in lineage(name)}


def _all_reachable(names: Iterable[str]) -> bool:
    return all(name_problem(name) is None for name in names)


def _reported(look: Look, unknown: Sequence[tuple[str, str]], known: tuple[str, ...]) -> list[Violation]:
    violations = []
    for where, name in unknown[:MOST_REPORTED]:
        near = () if look.is_over() else near_names(name, known)  # takes long among thousands of names
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        violations.append(Violation(where, f"no product has the field {shown(name)!r}{hint}"))
    if len(unknown) > MOST_REPORTED:
        where = unknown[MOST_REPORTED][0]
        violations.append(Violation(where, f"no product has {len(unknown) - MOST_REPORTED:,} more of the fields named"))
    return violations


def _check_values(look: Look, wanted: Filter) -> None:
    """Refuse a value when a sample holds nothing it can be compared with, and no other product does."""
    kinds = {name: look.kinds(name) for name in fields(wanted)}
    wrong = [
        Violation(place(found.name), found.message)
        for found in misread(wanted, kinds)
        if not look.finds({"$or": [{path: {"$type": sorted(found.kinds)}} for path in paths(found.name)]})
    ]
    if wrong:
        raise BadRequest(wrong[:MOST_REPORTED])
