"""Which columns a flat file has: names of leaves, the selection a request makes of them, and their order.

Pure: knows BSON's types but no database. The rules are in docs/values.md.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field


def is_at_or_below(name: str, parent: str) -> bool:
    """True when `name` is `parent` or a leaf below it: `attributes.color` is below `attributes`."""
    return name == parent or name.startswith(parent + ".")


def lineage(name: str) -> Iterator[str]:
    """The name and its parents, the nearest first.

    A dot that is part of a key cuts too, but what it leaves ends in a lone backslash, as no proper name does.
    """
    yield name
    at = name.rfind(".")
    while at >= 0:
        yield name[:at]
        at = name.rfind(".", 0, at)


@dataclass(frozen=True, slots=True)
class Selection:
    """The fields a request includes (None: all) or excludes; a parent means all below it."""

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    # Requests name thousands of fields: sets, so that a name is decided on at once.
    _included: frozenset[str] = field(init=False, repr=False, compare=False)
    _excluded: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", frozenset(self.include or ()))
        object.__setattr__(self, "_excluded", frozenset(self.exclude))

    def accepts(self, name: str) -> bool:
        """Whether a leaf of this name is exported."""
        if self._excluded and not self._excluded.isdisjoint(lineage(name)):
            return False
        return self.include is None or not self._included.isdisjoint(lineage(name))

    def header(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The columns, in order, given the leaves that exist in first-seen order.

        Without `include`: `id` first, the rest as seen. With it: the request's order, a parent replaced by its leaves,
        and a name without any leaf kept as a column of its own.
        """
        accepted = [name for name in seen if self.accepts(name)]
        if self.include is None:
            return tuple(sorted(accepted, key=lambda name: name != "id"))
        leaves: dict[str, list[str]] = {asked: [] for asked in self.include}
        for name in accepted:
            for parent in lineage(name):
                if parent in leaves:
                    leaves[parent].append(name)
        return tuple(dict.fromkeys(name for asked, below in leaves.items() for name in below or [asked]))

    def missing(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The included names for which no leaf exists, in the request's order."""
        there = {parent for name in seen for parent in lineage(name)}
        return tuple(asked for asked in self.include or () if asked not in there)


def merged_order(known: Sequence[str], seen: Iterable[str]) -> tuple[str, ...]:
    """`seen` in the order of `known`, new names after them in first-seen order: the same from export to export."""
    found = dict.fromkeys(seen)
    return tuple(dict.fromkeys([*(name for name in known if name in found), *found]))


def near_names(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Up to `limit` known names that a person may have meant, the best first.

    A last part that is the same (`color` for `attributes.color`) counts as near.
    """
    candidates = tuple(known)
    tails = [c for c in candidates if c.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    close = difflib.get_close_matches(name, candidates, n=limit, cutoff=0.6)
    return tuple(dict.fromkeys([*tails, *close]))[:limit]
