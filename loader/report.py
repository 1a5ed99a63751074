"""What the user sees: progress and bad lines on stderr, and on stdout what a dry run would change."""

import re
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from loader.entries.entry import Refused
from services.exporter.transcode.values import Document, json_text, leaves

MAX_LISTED = 20
"""Bad lines of the same kind that are listed; the others are counted."""
MAX_KINDS = 1_000
MAX_SHOWN = 200
"""Characters of a value in a dry run."""

# What differs between two reasons of the same kind: numbers, and text in quotes.
_DETAILS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\d+(?:[.,]\d+)*""")


class Screen:
    """A progress bar if stderr is a terminal, and bad lines with their reasons.

    Args:
        size: of the file, in bytes.
        has_bar: False if changes are printed meanwhile.
    """

    def __init__(self, size: int, *, has_bar: bool) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=self._console, disable=not (has_bar and self._console.is_terminal))
        self._task = self.bar.add_task("reading", total=size)
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, Refused] = {}

    def at(self, step: str, position: int) -> None:
        """Show the progress of a step, in bytes of the file."""
        self.bar.update(self._task, description=step, completed=position)

    def refuse(self, refused: Refused) -> None:
        """List a bad line, or count it if enough of its kind are listed."""
        kind = _DETAILS.sub("", refused.reason)
        kind = kind if kind in self._counts or len(self._counts) < MAX_KINDS else ""
        self._counts[kind] += 1
        self._examples.setdefault(kind, refused)
        if self._counts[kind] <= MAX_LISTED:
            self._console.print(f"line {refused.line}: {refused.reason}")

    def finish(self) -> None:
        """Say how many bad lines were not listed."""
        for kind, example in self._examples.items():
            if (more := self._counts[kind] - MAX_LISTED) > 0:
                self._console.print(f"{more:,} more like line {example.line}: {example.reason}")


def print_change(line: int, old: Document | None, new: Document) -> None:
    """Print what a record changes: the product, and the fields before and after."""
    product = new if old is None else old
    sku = f", sku {product['sku']}" if product.get("sku") not in (None, "") else ""
    print(f"line {line}: {'new product' if old is None else 'product'} {_shown(product['_id'])}{sku}")
    before, after = dict(leaves(old or {})), dict(leaves(new))
    for name in dict.fromkeys([*before, *after]):
        was, will_be = _shown_in(before, name), _shown_in(after, name)
        if was == will_be and type(before.get(name)) is not type(after.get(name)):
            was, will_be = (f"{was} ({type(values.get(name)).__name__})" for values in (before, after))
        if was != will_be and (old is not None or name != "id"):
            print(f"  {name}: {was} -> {will_be}")


def _shown_in(values: Document, name: str) -> str:
    return _shown(values[name]) if name in values else "(nothing)"


def _shown(value: object) -> str:
    shown = json_text(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}... ({len(shown):,} characters)"
