"""Which columns a flat file has: names of leaves, the selection a request makes of them, and their order.

Pure: knows BSON's types but no database. The rules are in docs/values.md.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def is_at_or_below(name: str, parent: str) -> bool:
    """True when `name` is `parent` or a leaf below it: `attributes.color` is below `attributes`."""
    return name == parent or name.startswith(parent + ".")


@dataclass(frozen=True, slots=True)
class Selection:
    """The fields a request includes (None: all) or excludes; a parent means all below it."""

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = field(default=())

    def accepts(self, name: str) -> bool:
        """Whether a leaf of this name is exported."""
        if any(is_at_or_below(name, parent) for parent in self.exclude):
            return False
        return self.include is None or any(is_at_or_below(name, parent) for parent in self.include)

    def header(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The columns, in order, given the leaves that exist in first-seen order.

        Without `include`: `id` first, the rest as seen. With it: the request's order, a parent replaced by its leaves,
        and a name without any leaf kept as a column of its own.
        """
        accepted = [name for name in seen if self.accepts(name)]
        if self.include is None:
            return tuple(sorted(accepted, key=lambda name: name != "id"))
        ordered: dict[str, None] = {}
        for asked in self.include:
            leaves = [name for name in accepted if is_at_or_below(name, asked)]
            ordered.update(dict.fromkeys(leaves or [asked]))
        return tuple(ordered)

    def missing(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The included names for which no leaf exists, in the request's order."""
        leaves = tuple(seen)
        return tuple(asked for asked in self.include or () if not any(is_at_or_below(name, asked) for name in leaves))


def merged_order(known: Sequence[str], seen: Iterable[str]) -> tuple[str, ...]:
    """`seen` in the order of `known`, new names after them in first-seen order: the same from export to export."""
    found = dict.fromkeys(seen)
    kept = [name for name in known if name in found]
    return (*kept, *(name for name in found if name not in set(kept)))


def near_names(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Up to `limit` known names that a person may have meant, the best first.

    A last part that is the same (`color` for `attributes.color`) counts as near.
    """
    candidates = tuple(known)
    tails = [c for c in candidates if c.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    close = difflib.get_close_matches(name, candidates, n=limit, cutoff=0.6)
    return tuple(dict.fromkeys([*tails, *close]))[:limit]
