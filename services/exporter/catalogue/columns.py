"""The columns of a flat file: names of leaves, the selection that a request makes, and their order.

Pure. The rules are in docs/values.md.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from services.exporter.catalogue.output_columns import OutputColumns

# A key of a name with the dot after it; inside a key, backslashes escape dots.
_KEY = re.compile(r"((?:[^.\\]|\\.)*)\.")


def is_at_or_below(name: str, parent: str) -> bool:
    """True when `name` is `parent` or a leaf below it: `attributes.color` is below `attributes`."""
    return name == parent or name.startswith(parent + ".")


def lineage(name: str) -> Iterator[str]:
    """The name and its parents, nearest first.

    An escaped dot inside a key is treated as a separator too. That is harmless: the result ends in a single backslash,
    and no valid name does.
    """
    yield name
    at = name.rfind(".")
    while at >= 0:
        yield name[:at]
        at = name.rfind(".", 0, at)


@dataclass(frozen=True, slots=True)
class Selection:
    """The fields that a request includes (None: all) or excludes; a parent means everything below it.

    With `output`, exactly the fields that its columns need are read, and the header is always the same.
    """

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    output: OutputColumns | None = None
    # Sets, because requests may name thousands of fields.
    _included: frozenset[str] = field(init=False, repr=False, compare=False)
    _excluded: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", frozenset(self.include or ()))
        object.__setattr__(self, "_excluded", frozenset(self.exclude))

    def accepts(self, name: str) -> bool:
        """Whether a leaf with this name is exported."""
        if self.output is not None:
            return name in self._included
        if self._excluded and not self._excluded.isdisjoint(lineage(name)):
            return False
        return self.include is None or not self._included.isdisjoint(lineage(name))

    def header(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The columns in order, given the existing leaves in first-seen order.

        Without `include`: `id` first, the rest as `grouped`. With it: the order of the request, where a parent is
        replaced by its leaves, and a name without leaves keeps a column.
        """
        if self.output is not None:
            return self.output.headers
        accepted = [name for name in seen if self.accepts(name)]
        if self.include is None:
            return tuple(sorted(grouped(accepted), key=lambda name: name != "id"))
        leaves: dict[str, list[str]] = {asked: [] for asked in self.include}
        for name in grouped(accepted):
            for parent in lineage(name):
                if parent in leaves:
                    leaves[parent].append(name)
        return tuple(dict.fromkeys(name for asked, below in leaves.items() for name in below or [asked]))

    def missing(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The included names that have no leaf, in the order of the request."""
        if self.output is not None:
            return self.output.missing(frozenset(seen))
        there = {parent for name in seen for parent in lineage(name)}
        return tuple(asked for asked in self.include or () if asked not in there)


def selection_of(output: OutputColumns) -> Selection:
    """The selection of the fields that these columns need."""
    return Selection(output.sources, output=output)


def parents_of(names: Iterable[str]) -> frozenset[str]:
    """The names that have one of these names below them."""
    return frozenset(parent for name in names for parent in islice(lineage(name), 1, None))


def with_columns(seen: Mapping[str, bool]) -> Collection[str]:
    """The names that have a column, as a set in the same order.

    An empty object has no column where other documents have fields below it.

    Args:
        seen: names of leaves; False: only empty objects were found there.
    """
    if all(seen.values()):
        return seen.keys()
    parents = parents_of(seen)
    return {name: None for name, has_value in seen.items() if has_value or name not in parents}.keys()


def merged_order(known: Sequence[str], seen: Iterable[str]) -> tuple[str, ...]:
    """`seen` in the order of `known`, so that exports keep the same order; new names at the end of their group."""
    found = dict.fromkeys(seen)
    return tuple(name for name in grouped(dict.fromkeys([*known, *found])) if name in found)


class _Group:
    """The names at or below a parent: of the parent itself, then of each group below it."""

    __slots__ = ("below", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.below: dict[str, _Group] = {}

    def walk(self) -> Iterator[str]:
        yield from self.names
        for group in self.below.values():
            yield from group.walk()


def grouped(names: Iterable[str]) -> tuple[str, ...]:
    """The names with those of the same parent next to each other, at every level of nesting.

    A group is where its first name is, and a new name goes to the end of its group.
    """
    root = _Group()
    for name in names:
        group = root
        for key in name.split(".") if "\\" not in name else _KEY.findall(f"{name}."):
            group = group.below.get(key) or group.below.setdefault(key, _Group())
        group.names.append(name)
    return tuple(root.walk())


def near_names(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Up to `limit` other known names that may have been meant, best first.

    Names with the same last part (`color` and `attributes.color`) are similar.
    """
    candidates = tuple(other for other in known if other != name)
    tails = [c for c in candidates if c.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    close = difflib.get_close_matches(name, candidates, n=limit, cutoff=0.6)
    return tuple(dict.fromkeys([*tails, *close]))[:limit]
