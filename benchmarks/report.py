"""The figures of a run, as one table at the end and a line each meanwhile."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, what it is compared with in the same run, and what was promised of it."""

    benchmark: str
    what: str
    value: str
    compared: str
    promised: str


class Report:
    """Collects figures."""

    def __init__(self) -> None:
        self._figures: list[Figure] = []
        self._benchmark = ""
        self._console = Console(width=150 if not sys.stdout.isatty() else None)

    def begin(self, benchmark: str) -> None:
        """The figures that follow are this benchmark's."""
        self._benchmark = benchmark
        self._console.print(f"[bold]{benchmark}")

    def add(self, what: str, value: str, *, compared: str = "", promised: str = "") -> None:
        """Keep a figure and show it at once."""
        self._figures.append(Figure(self._benchmark, what, value, compared, promised))
        self._console.print(f"  {what}: {value}  {compared}".rstrip())

    def show(self) -> None:
        """The table."""
        table = Table("benchmark", "what", "value", "compared in the same run", "promised")
        for figure in self._figures:
            table.add_row(figure.benchmark, figure.what, figure.value, figure.compared, figure.promised)
        self._console.print(table)


def spread(seconds: Sequence[float]) -> str:
    """Median, and the extremes."""
    return f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
