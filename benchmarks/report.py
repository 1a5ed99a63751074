"""Prints each figure of a run when it is measured, and all of them as a table at the end."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value, what it is compared with in the same run, and its target."""

    benchmark: str
    what: str
    value: str
    compared: str
    target: str


class Report:
    """Collects figures."""

    def __init__(self) -> None:
        self._figures: list[Figure] = []
        self._benchmark = ""
        self._console = Console(width=150 if not sys.stdout.isatty() else None)

    def begin(self, benchmark: str) -> None:
        """Start a benchmark: the following figures belong to it."""
        self._benchmark = benchmark
        self._console.print(f"[bold]{benchmark}")

    def add(self, what: str, value: str, *, compared: str = "", target: str = "") -> None:
        """Print a figure and keep it for the table."""
        self._figures.append(Figure(self._benchmark, what, value, compared, target))
        self._console.print(f"  {what}: {value}  {compared}".rstrip())

    def show(self) -> None:
        """Print the table."""
        table = Table("benchmark", "what", "value", "compared in the same run", "target")
        for figure in self._figures:
            table.add_row(figure.benchmark, figure.what, figure.value, figure.compared, figure.target)
        self._console.print(table)


def spread(seconds: Sequence[float]) -> str:
    """Median, minimum and maximum."""
    return f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
