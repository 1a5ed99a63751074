"""A table: a header, and rows with one cell for each name in it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loader.errors import BadFile


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, or the problem with it; `line` is the number of its first line."""

    line: int
    cells: tuple[str, ...]
    problem: str = ""


class Rows(ABC):
    """The header and the rows of a table.

    Columns without a name are accepted if they are empty: spreadsheets keep columns that were emptied.
    """

    may_be_escaped = True
    """Whether `escape_formulas` may have put quotes into the file."""

    def __init__(self, header: tuple[str, ...]) -> None:
        if not header:
            raise BadFile("the file has no header line")
        self.header = header
        self._nameless = [place for place, name in enumerate(header) if not name]

    @abstractmethod
    def __iter__(self) -> Iterator[Row]:
        """The rows; empty rows are skipped."""

    def checked(self, line: int, cells: Sequence[str]) -> Row:
        """The row with as many cells as the header has names, or with the problem that it has others."""
        width = len(self.header)
        if len(cells) < width or any(cells[width:]) or any(cells[place] for place in self._nameless):
            return Row(line, (), f"{len(cells)} cells, but the header has {width - len(self._nameless)} names")
        return Row(line, tuple(cells[:width]))


def header_of(names: Sequence[str]) -> tuple[str, ...]:
    """The names without empty ones at the end.

    Raises:
        BadFile: a name occurs twice.
    """
    header = list(names)
    while header and not header[-1]:
        header.pop()
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise BadFile(f"the header names {', '.join(twice)} more than once")
    return tuple(header)
