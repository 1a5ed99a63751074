"""The interface of a file format: one module in this folder that defines `FORMAT`; it is found automatically.

A format declares its options as a pydantic model. The model validates requests, and its JSON Schema appears in the
gateway's OpenAPI document. The format turns batches of raw BSON into the bytes of the file, chunk by chunk.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode import Tally

Delimiter = Literal[",", ";", "\t", "|"]
Flag = Annotated[bool, Field(strict=True)]
"""true or false, without coercion of other values."""

# A backslash that escapes neither a dot nor a backslash; no column name has one.
_LONE_BACKSLASH = re.compile(r"(?<!\\)(?:\\\\)*\\(?![\\.])")
FieldName = Annotated[str, Field(strict=True, min_length=1, max_length=1024)]
FieldNames = Annotated[tuple[FieldName, ...], Field(min_length=1, max_length=5000)]
MAX_ORDER_FIELDS = 16
"""MongoDB allows 32 in an index or a sort."""


class ExportOptions(BaseModel):
    """The options of all formats; each format's model extends it. Unknown keys are refused."""

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
    order_by: Annotated[tuple[FieldName, ...], Field(min_length=1, max_length=MAX_ORDER_FIELDS)] | None = Field(
        default=None,
        description="The order of the products: fields, with `-` in front for descending; absent: as stored.",
        examples=[["brand", "-price"]],
    )
    platform_ids: tuple[UUID, ...] | None = Field(
        default=None,
        max_length=100,
        description="Upload to these platforms only; `[]`: to none; absent: to every active platform.",
    )
    file_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Template of the file's name: `{format} {date} {time} {schedule} {job}`.",
    )

    @model_validator(mode="after")
    def _fields_are_sane(self) -> "ExportOptions":
        for option, names in (
            ("include_fields", self.include_fields or ()),
            ("exclude_fields", self.exclude_fields or ()),
            ("order_by", tuple(name for name, _ in self.order)),
        ):
            if odd := [n for n in names if _LONE_BACKSLASH.search(n)]:
                raise ValueError(f"{option} has {odd[0]!r}: a backslash in a key is written \\\\, a dot in a key \\.")
            if twice := sorted(n for n, times in Counter(names).items() if times > 1):
                raise ValueError(f"{option} names {', '.join(twice)} more than once; name each field once")
        if self.include_fields and self.exclude_fields:
            raise ValueError("give include_fields or exclude_fields, not both")
        return self

    @property
    def selection(self) -> Selection:
        """The requested columns of the products."""
        return Selection(self.include_fields, self.exclude_fields or ())

    @property
    def order(self) -> tuple[tuple[str, int], ...]:
        """The fields to order by, each with 1, or -1 for descending; empty: as stored."""
        return tuple((name.removeprefix("-"), -1 if name[0] == "-" else 1) for name in self.order_by or ())

    @property
    def shows_widths(self) -> bool:
        """Whether the file contains the widths of its columns, which are written before the rows."""
        return False


class DelimitedOptions(ExportOptions):
    """The options of formats made of CSV files."""

    utf8_bom: Flag = Field(default=True, description="Begin with a byte order mark: Excel then reads UTF-8.")
    delimiter: Delimiter = Field(default=",", description="Between two cells.")
    escape_formulas: Flag | None = Field(
        default=None,
        description="Put ' before text that a spreadsheet would take for a formula; absent: the deployment's default.",
    )


@dataclass(frozen=True, slots=True)
class Sheet:
    """One collection to be written to a file.

    `columns` is the complete header of a flat format; formats that keep nesting ignore it. `batches` yields raw BSON:
    each item is one or more whole documents without separators. `widths` are the widths of the columns in characters,
    if the options show them. `expected` is the approximate number of documents, if it is known.
    """

    name: str
    columns: Sequence[str]
    selection: Selection
    batches: Iterator[bytes]
    widths: Mapping[str, int] = field(default_factory=dict)
    expected: int | None = None


class TooManyColumns(Exception):
    """The format cannot hold this many columns."""

    def __init__(self, columns: int, limit: int) -> None:
        super().__init__(f"{columns} columns, at most {limit}")
        self.columns = columns
        self.limit = limit


class Format(Protocol):
    """One file format. Implementations are stateless; `options` is always an instance of the format's own `Options`."""

    name: ClassVar[str]
    """As in the URL: `csv`."""
    flat: ClassVar[bool]
    """Whether the complete header is needed before the first byte."""
    Options: ClassVar[type[ExportOptions]]

    def extension(self, options: Any) -> str:
        """The extension of the file's name, with the dot: `.csv`."""

    def media_type(self, options: Any) -> str:
        """The Content-Type of the file."""

    def sheets(self, options: Any) -> Sequence[str]:
        """The collections in the file, in order."""

    def encode(self, sheets: Sequence[Sheet], options: Any, tally: Tally) -> Generator[bytes, None, None]:
        """Yield the file's bytes; reads the sheets one after the other, each once.

        Raises:
            UnforeseenColumn: in flat formats, before any byte of the row that has it.
            TooManyColumns: the header is longer than the format allows.
        """
