"""The columns of a file as a request describes them: from which fields a cell comes, and how its value is rewritten.

Pure data; `transcode.cell_rules` applies it. The rules are in docs/columns.md.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from zoneinfo import ZoneInfo

from bson import Decimal128

Alternatives = tuple[str, ...]
"""Names of fields; the first one that has a value counts."""
Constant = str | bool | int | Decimal128


class Case(StrEnum):
    """How letters are written."""

    UPPER = "upper"
    LOWER = "lower"
    CAPITALIZE = "capitalize"
    """Only the first character is changed, to upper case."""


class IfMissing(StrEnum):
    """What happens to a row whose cell has no value: none, null, an empty text, an empty list or an empty object."""

    EMPTY = "empty"
    SKIP_ROW = "skip_row"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a number is written as text; `decimals` None: as many as it has."""

    decimals: int | None = None
    decimal_mark: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """How a date is written as text: `pattern` has the directives of `cell_rules.DIRECTIVES`."""

    pattern: str
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True)
class CellRules:
    """How a value is rewritten, in the order of these fields; None or False: not at all."""

    texts: Mapping[str, str] | None = None
    """What replaces each text; others stay, or become `default_text`."""
    default_text: str | None = None
    strip_html: bool = False
    join: str | None = None
    """What is written between the items of a list."""
    number: NumberFormat | None = None
    date: DateFormat | None = None
    true_false: tuple[str, str] | None = None
    case: Case | None = None
    max_length: int | None = None
    """In characters."""
    if_missing: IfMissing = IfMissing.EMPTY


NO_RULES = CellRules()


class CheckedKind(StrEnum):
    """What a receiver takes a text for."""

    TEXT = "text"
    PRICE = "price"
    """A number without grouping, a space and a currency: `15.00 EUR`."""
    GTIN = "gtin"
    """GTIN-8, GTIN-12, GTIN-13 or GTIN-14 with its check digit; spaces and hyphens do not count."""
    LINK = "link"
    """An address that begins with `http://` or `https://` and has no spaces."""


@dataclass(frozen=True, slots=True)
class CellCheck:
    """What a receiver accepts in a column. A cell that differs is written all the same, and reported."""

    required: bool = False
    values: tuple[str, ...] = ()
    """The only texts that are accepted; empty: any."""
    max_length: int | None = None
    """In characters."""
    kind: CheckedKind = CheckedKind.TEXT
    currencies: tuple[str, ...] = ()
    """Those that a price may have, sorted."""
    reserved_prefixes: tuple[str, ...] = ()
    """What a GTIN of 12 to 14 digits, written as GTIN-13, must not begin with."""


@dataclass(frozen=True)
class OutputColumn:
    """One column of a file.

    Args:
        header: the name that the file shows.
        pieces: text, and values of fields. One piece that is no text keeps its type, unless `is_template`.
        constant: the value of every cell; then there are no pieces.
    """

    header: str
    pieces: tuple[str | Alternatives, ...] = ()
    constant: Constant | None = None
    is_template: bool = False
    rules: CellRules = NO_RULES
    check: CellCheck | None = None

    @cached_property
    def fields(self) -> tuple[Alternatives, ...]:
        """The fields that the column needs."""
        return tuple(piece for piece in self.pieces if not isinstance(piece, str))


@dataclass(frozen=True)
class OutputColumns:
    """All columns of a file, in order.

    Args:
        whole: names of fields that are written as JSON where they hold an object.
        one_of: groups of places of columns; a row with values in none of a group is reported.
    """

    columns: tuple[OutputColumn, ...]
    whole: frozenset[str] = frozenset()
    one_of: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def headers(self) -> tuple[str, ...]:
        """The names that the file shows."""
        return tuple(column.header for column in self.columns)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The names of all fields that any column needs."""
        fields = (name for column in self.columns for names in column.fields for name in names)
        return tuple(dict.fromkeys(fields))

    def missing(self, seen: Collection[str]) -> tuple[str, ...]:
        """The fields of which neither the name nor an alternative is among those seen."""
        fields = dict.fromkeys(names for column in self.columns for names in column.fields)
        return tuple(dict.fromkeys(names[0] for names in fields if not any(name in seen for name in names)))
