"""Matches the columns of a receiver's file to fields of the catalogue by their names. Pure, apart from a time limit."""

import difflib
import re
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.exporter.catalogue.columns import near_names

NEAR = 0.9
"""Share of characters in common (difflib's ratio) from which a name is taken for another one: `colour` for `color`."""
MAX_SEARCHED, SEARCH_SECONDS = 50, 1.0
"""Columns for which near names are searched, and for how long. One takes milliseconds among thousands of fields, and a
tenth of a second if they were made to be alike."""
MAX_COMPARED = 60
"""Characters of names that are compared. The time to compare two grows with the square."""
_SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Match:
    """A column, and the field that it was matched to; `near` are fields that may be meant where there is none."""

    header: str
    field: str | None = None
    near: tuple[str, ...] = ()


def match_columns(headers: Sequence[str], fields: Sequence[str]) -> list[Match]:
    """A match for each header, in order.

    A field has the same name, or one that differs in case, accents, spaces and punctuation only, or it is the only
    field whose last part is the name (`Color` is `attributes.color`), or it is very near.

    Args:
        fields: the names of the catalogue's fields, the more usual ones first.
    """
    exact, whole, tails = set(fields), _by_key(fields, fields), _by_key(fields, (_tail(name) for name in fields))
    short = [name for name in fields if len(name) <= MAX_COMPARED]
    keys = [key for key in dict.fromkeys([*whole, *tails]) if len(key) <= MAX_COMPARED]
    searched, until = 0, time.monotonic() + SEARCH_SECONDS
    matches = []
    for header in headers:
        key = key_of(header)
        same = [header] if header in exact else whole.get(key, [])[:1]
        below = tails.get(key, []) if key else []
        if same or len(below) == 1:
            matches.append(Match(header, (same or below)[0]))
            continue
        near = tuple(below[:3])
        is_comparable = key and len(header) <= MAX_COMPARED
        if not near and is_comparable and searched < MAX_SEARCHED and time.monotonic() < until:
            searched += 1
            found = _very_near(key, keys)
            candidates = [*whole.get(found, []), *tails.get(found, [])] if found else []
            if len(set(candidates)) == 1:
                matches.append(Match(header, candidates[0]))
                continue
            near = tuple(dict.fromkeys(candidates))[:3] or near_names(header, short)
        matches.append(Match(header, near=near))
    return matches


def key_of(name: str) -> str:
    """A name without case, accents, spaces and punctuation: `Prix_Net (é)` becomes `prixnete`."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return _SEPARATORS.sub("", "".join(one for one in plain if not unicodedata.combining(one)))


def _very_near(key: str, known: Sequence[str]) -> str:
    """The nearest known key with the same digits, for `image_1` is not `image_2`; empty if none is near enough."""
    found = difflib.get_close_matches(key, known, n=3, cutoff=NEAR)
    return next((one for one in found if _digits(one) == _digits(key)), "")


def _digits(key: str) -> str:
    return "".join(filter(str.isdigit, key))


def _by_key(fields: Iterable[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The fields by the keys of these names of theirs."""
    made: dict[str, list[str]] = {}
    for field, name in zip(fields, names, strict=True):
        made.setdefault(key_of(name), []).append(field)
    return made


def _tail(name: str) -> str:
    return name.rsplit(".", 1)[-1]
