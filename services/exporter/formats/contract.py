"""What a file format is: one module in this folder that defines `FORMAT`, found by its file name.

A format declares its options as a pydantic model, which checks the request's body and makes its JSON Schema for the
gateway's OpenAPI document, and turns raw BSON batches into the bytes of the file, a chunk at a time.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.exporter.catalogue.columns import Selection

Delimiter = Literal[",", ";", "\t", "|"]
Flag = Annotated[bool, Field(strict=True)]
"""true or false, and nothing that only looks like it."""

# A backslash that marks neither a dot nor a backslash: no column is called so.
_LONE_BACKSLASH = re.compile(r"(?<!\\)(?:\\\\)*\\(?![\\.])")
FieldName = Annotated[str, Field(strict=True, min_length=1, max_length=1024)]
FieldNames = Annotated[tuple[FieldName, ...], Field(min_length=1, max_length=5000)]


class ExportOptions(BaseModel):
    """The options every format takes; a format's own model extends it. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filters: dict[str, Any] = Field(
        default_factory=dict,
        description="Which products: a field and a value, or an object of operators (see docs/values.md).",
        examples=[{"is_active": True, "price": {"gte": 10, "lt": 50}}],
    )
    include_fields: FieldNames | None = Field(
        default=None, description="The columns, in this order; a parent such as `attributes` means all below it."
    )
    exclude_fields: FieldNames | None = Field(
        default=None, description="Columns to leave out; a parent means all below it."
    )
    platform_ids: tuple[UUID, ...] | None = Field(
        default=None, description="Upload to these platforms only; `[]`: to none; absent: to every active platform."
    )
    file_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Template of the file's name: `{format} {date} {time} {schedule} {job}`.",
    )

    @model_validator(mode="after")
    def _fields_are_sane(self) -> "ExportOptions":
        for name in ("include_fields", "exclude_fields"):
            names: tuple[str, ...] = getattr(self, name) or ()
            if odd := [n for n in names if _LONE_BACKSLASH.search(n)]:
                raise ValueError(f"{name} has {odd[0]!r}: a backslash in a key is written \\\\, a dot in a key \\.")
            if twice := sorted(n for n, times in Counter(names).items() if times > 1):
                raise ValueError(f"{name} names {', '.join(twice)} more than once; name each field once")
        if self.include_fields and self.exclude_fields:
            raise ValueError("give include_fields or exclude_fields, not both")
        return self

    @property
    def selection(self) -> Selection:
        """Which columns of the products were asked for."""
        return Selection(self.include_fields, self.exclude_fields or ())

    @property
    def shows_widths(self) -> bool:
        """Whether the file needs the widths of its columns before the rows."""
        return False


class DelimitedOptions(ExportOptions):
    """What formats made of CSV files take."""

    utf8_bom: Flag = Field(default=True, description="Begin with a byte order mark: Excel then reads UTF-8.")
    delimiter: Delimiter = Field(default=",", description="Between two cells.")
    escape_formulas: Flag | None = Field(
        default=None,
        description="Put ' before text that a spreadsheet would take for a formula; absent: the deployment's default.",
    )


@dataclass(frozen=True, slots=True)
class Sheet:
    """One collection on its way into a file.

    `columns` is the header of a flat format, complete; formats that keep nesting ignore it. `batches` yields raw BSON:
    each item is one or more whole documents, end to end. `widths` are those of the columns, in characters, where the
    options show them.
    """

    name: str
    columns: Sequence[str]
    selection: Selection
    batches: Iterator[bytes]
    widths: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What the encoder has seen so far; read by the progress reports while it is written (ints only, so no lock)."""

    records: dict[str, int] = field(default_factory=dict)
    """Rows written, by sheet."""
    seen: dict[str, dict[str, None]] = field(default_factory=dict)
    """Names of leaves met and selected, by sheet, in first-seen order (an ordered set)."""
    widths: dict[str, dict[str, int]] = field(default_factory=dict)
    """What the widths of columns have to be, by sheet, where the options show them: if others were given, the file is
    written once more."""
    texts_cut: int = 0
    """Cells cut because the format holds no longer text."""


class UnforeseenColumn(Exception):
    """A document brought a leaf that the header has no column for; the export starts over with all columns."""

    def __init__(self, sheet: str, name: str) -> None:
        super().__init__(f"{sheet}: {name}")
        self.sheet = sheet
        self.name = name


class TooManyColumns(Exception):
    """The format cannot hold this many columns."""

    def __init__(self, columns: int, limit: int) -> None:
        super().__init__(f"{columns} columns, at most {limit}")
        self.columns = columns
        self.limit = limit


class Format(Protocol):
    """One file format. Implementations are stateless; `options` is always an instance of the format's own `Options`."""

    name: ClassVar[str]
    """The word in the URL, `csv`."""
    flat: ClassVar[bool]
    """Needs the complete header before the first byte."""
    Options: ClassVar[type[ExportOptions]]

    def extension(self, options: Any) -> str:
        """Of the file's name, with the dot: `.csv`."""

    def media_type(self, options: Any) -> str:
        """For Content-Type."""

    def sheets(self, options: Any) -> Sequence[str]:
        """The collections that go into the file, in order."""

    def encode(self, sheets: Sequence[Sheet], options: Any, tally: Tally) -> Generator[bytes, None, None]:
        """Yield the file's bytes, reading the sheets one after the other, each once.

        Raises:
            UnforeseenColumn: flat formats only, before a byte of the row that has it.
            TooManyColumns: the format has a limit and the header is over it.
        """
