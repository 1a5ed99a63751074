"""The interface of a file format: one module in this folder that defines `FORMAT`; it is found automatically.

A format declares its options as a pydantic model. The model validates requests, and its JSON Schema appears in the
gateway's OpenAPI document. The format turns batches of raw BSON into the bytes of the file, chunk by chunk.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator
from typing_extensions import TypeAliasType

from services.chassis.json_types import HOWEVER_WRITTEN
from services.exporter.catalogue.codes import CURRENCIES, LOCALE_PATTERN, is_currency, is_locale
from services.exporter.catalogue.columns import Selection, selection_of
from services.exporter.formats.column_options import (
    MAX_COLUMNS,
    ColumnOrName,
    FieldName,
    Flag,
    check_headers,
    name_problem,
    output_columns,
)
from services.exporter.manifests.tracker import Tracker
from services.exporter.transcode import Tally
from services.exporter.transcode.locales import Reduction, reductions_of

Delimiter = Annotated[
    Literal[",", ";", "\t", "|"],
    # Names for generators of clients that make some of the values, of which a tab is none.
    Field(json_schema_extra={"x-enum-varnames": ["COMMA", "SEMICOLON", "TAB", "PIPE"]}),
]


def known_locale(code: str) -> str:
    """The code; raises ValueError if it is not a locale."""
    if not is_locale(code):
        raise ValueError(f"{code!r} is not a locale; write fr, fr_FR or zh_Hant_TW")
    return code


def known_currency(code: str) -> str:
    """The code; raises ValueError if it is not a currency."""
    if not is_currency(code):
        raise ValueError(f"{code!r} is not a currency of ISO 4217, such as EUR")
    return code


FieldNames = Annotated[tuple[FieldName, ...], Field(min_length=1, max_length=5000)]
Locale = Annotated[
    str,
    Field(strict=True, max_length=20),
    AfterValidator(known_locale),
    WithJsonSchema({"type": "string", "pattern": LOCALE_PATTERN}),
]
Currency = Annotated[
    str,
    Field(strict=True, max_length=3),
    AfterValidator(known_currency),
    WithJsonSchema({"type": "string", "enum": sorted(CURRENCIES)}),
]
MAX_LOCALES = 20
MAX_LIMIT = 1_000_000_000
COMPRESSED_ALREADY = {"compression": "is not possible: files of this format are compressed already; leave it out"}
"""What formats that are compressed answer to this option of the others."""
MAX_ORDER_FIELDS = 16
"""MongoDB allows 32 in an index or a sort."""

_PLAIN = {"type": ["string", "number", "boolean", "null"]}
_PLAIN_LIST = {"type": "array", "items": _PLAIN, "minItems": 1, "maxItems": 1_000}
_LIMIT = {"type": ["string", "number"]}
_PART = {"type": "string", "maxLength": 1_000}
# As `parse_filter` takes them, which reports what is wrong in its own words.
FilterValue = TypeAliasType(
    "FilterValue",
    Annotated[
        Any,
        WithJsonSchema(
            {
                "description": "The value that the field has, or operators that must all hold (see docs/values.md).",
                "anyOf": [
                    _PLAIN,
                    {
                        "title": "FilterOperators",
                        "type": "object",
                        "properties": {
                            **dict.fromkeys(("eq", "ne"), _PLAIN),
                            **dict.fromkeys(("gt", "gte", "lt", "lte"), _LIMIT),
                            **dict.fromkeys(("in", "nin"), _PLAIN_LIST),
                            "exists": {"type": "boolean"},
                            **dict.fromkeys(("contains", "starts_with"), _PART),
                        },
                        "additionalProperties": False,
                        "minProperties": 1,
                    },
                ],
            }
        ),
    ],
)
_EITHER: list[JsonValue] = ["include_fields", "exclude_fields"]


class ExportOptions(BaseModel):
    """The options of all formats; each format's model extends it. Unknown keys are refused."""

    refused: ClassVar[Mapping[str, str]] = {}
    """Options of other formats that this one refuses, and why."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"not": {"properties": {"include_fields": {}, "exclude_fields": {}}, "required": _EITHER}},
    )

    filters: dict[str, FilterValue] = Field(
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
    columns: (
        Annotated[tuple[ColumnOrName, ...], Field(max_length=MAX_COLUMNS, json_schema_extra={"minItems": 1})] | None
    ) = Field(
        default=None,
        description="Instead of fields: columns with headers of their own and rewritten values (docs/columns.md).",
    )
    explode: FieldName | None = Field(
        default=None,
        description="A field that holds lists: one row for each item, with the other fields repeated; "
        "products without items keep one row.",
        examples=["variants"],
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_LIMIT), HOWEVER_WRITTEN] | None = Field(
        default=None, description="The maximum number of products; which ones depends on the order."
    )
    locales: Annotated[tuple[Locale, ...], Field(max_length=MAX_LOCALES)] = Field(
        default=(),
        description="Objects whose keys are locales are reduced to these; with one, its value takes their place.",
        examples=[["fr_FR"]],
    )
    locale_fallback: Annotated[
        dict[Locale, Annotated[tuple[Locale, ...], Field(min_length=1, max_length=MAX_LOCALES)]],
        Field(max_length=MAX_LOCALES),
    ] = Field(
        default_factory=dict,
        description="The locales to use instead, in this order, where one of `locales` has no value.",
        examples=[{"fr_CH": ["fr_FR", "en_US"]}],
    )
    currencies: Annotated[tuple[Currency, ...], Field(max_length=MAX_LOCALES)] = Field(
        default=(), description="The same for objects whose keys are currencies (ISO 4217).", examples=[["EUR"]]
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
            ("explode", (self.explode,) if self.explode else ()),
        ):
            if odd := [problem for name in names if (problem := name_problem(name))]:
                raise ValueError(f"{option} {odd[0]}")
            if twice := sorted(n for n, times in Counter(names).items() if times > 1):
                raise ValueError(f"{option} names {', '.join(twice)} more than once; name each field once")
        if self.include_fields and self.exclude_fields:
            raise ValueError("give include_fields or exclude_fields, not both")
        for option, codes in (("locales", self.locales), ("currencies", self.currencies)):
            if len(set(codes)) < len(codes):
                raise ValueError(f"{option} names one more than once")
        if unused := [code for code in self.locale_fallback if code not in self.locales]:
            raise ValueError(f"locale_fallback has {unused[0]!r}, which is not among locales")
        if self.columns is not None:
            if self.include_fields or self.exclude_fields:
                raise ValueError("give columns, or include_fields or exclude_fields, not both")
            check_headers(self.columns)
        return self

    @cached_property
    def selection(self) -> Selection:
        """The requested columns of the products."""
        if self.columns is not None:
            return selection_of(output_columns(self.columns))
        return Selection(self.include_fields, self.exclude_fields or ())

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        """What is kept of objects with locales or currencies as keys; empty: everything."""
        return reductions_of(self.locales, self.locale_fallback, self.currencies)

    @property
    def order(self) -> tuple[tuple[str, int], ...]:
        """The fields to order by, each with 1, or -1 for descending; empty: as stored."""
        return tuple((name.removeprefix("-"), -1 if name[0] == "-" else 1) for name in self.order_by or ())

    def with_default_escaping(self, escape_formulas: bool) -> Self:  # noqa: ARG002
        """The options with the deployment's default for `escape_formulas`, if they have it and leave it open."""
        return self

    def completed(self) -> tuple[Self, Sequence[tuple[str, str]]]:
        """The options with those that others imply, and what is wrong with them together: place and message."""
        return self, ()

    @property
    def shows_widths(self) -> bool:
        """Whether the file contains the widths of its columns, which are written before the rows."""
        return False

    @property
    def shows_types(self) -> bool:
        """Whether the columns of the file have types, which are written before the rows."""
        return False


class DelimitedOptions(ExportOptions):
    """The options of formats made of CSV files."""

    utf8_bom: Flag = Field(default=True, description="Begin with a byte order mark: Excel then reads UTF-8.")
    delimiter: Delimiter = Field(default=",", description="Between two cells.")
    escape_formulas: Flag | None = Field(
        default=None,
        description="Put ' before text that a spreadsheet would take for a formula; absent: the deployment's default.",
    )

    def with_default_escaping(self, escape_formulas: bool) -> Self:
        """The options with the deployment's default, if they leave it open."""
        if self.escape_formulas is not None:
            return self
        return self.model_copy(update={"escape_formulas": escape_formulas})


@dataclass(frozen=True, slots=True)
class Sheet:
    """One collection to be written to a file.

    `columns` is the complete header of a flat format; formats that keep nesting ignore it. `batches` yields raw BSON:
    each item is one or more whole documents without separators. `widths` are the widths of the columns in characters,
    if the options show them, and `types` their types (see transcode/column_types.py), likewise; a column without one is
    text. `expected` is the approximate number of documents, if it is known.
    """

    name: str
    columns: Sequence[str]
    selection: Selection
    batches: Iterator[bytes]
    widths: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    expected: int | None = None
    tracker: Tracker | None = None
    """Notes the rows of a file that keeps a manifest."""


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
    media_types: ClassVar[Sequence[str]]
    """All that `media_type` may return."""
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
            UnforeseenColumn: in flat formats, before any byte of the row that has it; in formats with types, also for
                a value that does not fit the type of its column.
            TooManyColumns: the header is longer than the format allows.
        """
