"""The option `columns`: the columns of a file as a client writes them, checked, and as the transcoders need them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bson import Decimal128
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from services.chassis.json_types import HOWEVER_WRITTEN
from services.exporter.catalogue.output_columns import (
    Alternatives,
    Case,
    CellCheck,
    CellRules,
    Constant,
    DateFormat,
    IfMissing,
    NumberFormat,
    OutputColumn,
    OutputColumns,
)
from services.exporter.transcode.cell_rules import DIRECTIVES

MAX_COLUMNS = 1_000
MAX_HEADER = 500
MAX_NAME = 1_024
MAX_TEXTS = 2_000
"""Entries of a `map`."""
MAX_TEXT = 4_000
"""Characters of a template or of one text."""
MAX_ALTERNATIVES = 20

# A backslash that escapes neither a dot nor a backslash; no column name has one.
_LONE_BACKSLASH = re.compile(r"(?<!\\)(?:\\\\)*\\(?![\\.])")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_DIRECTIVE = re.compile("%(.?)", re.DOTALL)
_MAX_INTEGER = 1 << 63

Flag = Annotated[bool, Field(strict=True)]
"""true or false, without coercion of other values."""
FieldName = Annotated[str, Field(strict=True, min_length=1, max_length=MAX_NAME)]
ShortText = Annotated[str, Field(strict=True, max_length=20)]
Text = Annotated[str, Field(strict=True, max_length=MAX_TEXT)]
Value = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean"], "maxLength": MAX_TEXT})]


_TWO_TEXTS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "maxLength": MAX_TEXT},
    "minItems": 2,
    "maxItems": 2,
}


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a field."""
    if _LONE_BACKSLASH.search(name):
        return f"has {name!r}: a backslash in a key is written \\\\, a dot in a key \\."
    return None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberRule(_Model):
    """How numbers are written; they become text, which a spreadsheet does not calculate with."""

    decimals: Annotated[int, Field(strict=True, ge=0, le=20), HOWEVER_WRITTEN] | None = Field(
        default=None, description="Digits after the decimal mark, rounded half up; absent: as many as the number has."
    )
    decimal_mark: ShortText = Field(default=".", min_length=1, description="Before the decimals.")
    thousands: ShortText = Field(default="", description="Between groups of three digits.")
    prefix: ShortText = Field(default="", description="Before the number and its sign.")
    suffix: ShortText = Field(default="", description="After the number, such as ` EUR`.")


class DateRule(_Model):
    """How dates are written, and text that is an ISO 8601 date; they become text."""

    format: str = Field(
        strict=True,
        min_length=1,
        max_length=100,
        description=f"strftime's directives {' '.join(f'%{letter}' for letter in DIRECTIVES)}; names are in English.",
        examples=["%d.%m.%Y"],
    )
    timezone: str = Field(
        strict=True, default="UTC", max_length=100, description="Of the written time, such as `Europe/Paris`."
    )

    @field_validator("format")
    @classmethod
    def _directives(cls, text: str) -> str:
        for letter in _DIRECTIVE.findall(text):
            if letter not in DIRECTIVES:
                allowed = " ".join(f"%{known}" for known in DIRECTIVES)
                raise ValueError(f"%{letter} is not available; use {allowed}")
        return text

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is not the name of a time zone, such as Europe/Paris") from None
        return name


_SOURCES = ("field", "value", "template", "first_of")


class Column(_Model):
    """One column: its header, where its values come from, and how they are rewritten, in the order listed here.

    A string is the name of a field: a column with the name and the values of that field.
    """

    header: str = Field(strict=True, min_length=1, max_length=MAX_HEADER, description="The name that the file shows.")
    field: FieldName | None = Field(default=None, description="The values of this field.")
    fallback: tuple[FieldName, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ALTERNATIVES,
        description="With `field`: the fields to use instead, in this order, where it has no value.",
    )
    value: Value | None = Field(default=None, description="The same value in every row.")
    template: Text | None = Field(
        default=None,
        min_length=1,
        description="Text with fields in braces; `{{` and `}}` are braces. Fields without a value leave nothing.",
        examples=["{brand} {name} – {attributes.color}"],
    )
    first_of: tuple[FieldName, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_ALTERNATIVES, description="The first of these that has a value."
    )
    texts: dict[Text, Text] | None = Field(
        default=None, alias="map", min_length=1, max_length=MAX_TEXTS, description="What to write for each text."
    )
    map_default: Text | None = Field(
        default=None, description="With `map`: what to write for any other text; absent: the text itself."
    )
    strip_html: Flag = Field(default=False, description="Only the text of HTML, in one line, with entities decoded.")
    join: ShortText | None = Field(default=None, description="What to write between the items of a list.")
    number: NumberRule | None = Field(default=None, description="How to write numbers.")
    date: DateRule | None = Field(default=None, description="How to write dates.")
    true_false: Annotated[tuple[Text, Text], WithJsonSchema(_TWO_TEXTS)] | None = Field(
        default=None, alias="bool", description="What to write for true and for false.", examples=[["yes", "no"]]
    )
    case: Literal["upper", "lower", "capitalize"] | None = Field(
        default=None, description="All letters, or with `capitalize` the first character, in upper or lower case."
    )
    max_length: Annotated[int, Field(strict=True, ge=1, le=100_000), HOWEVER_WRITTEN] | None = Field(
        default=None, description="Characters; longer texts are cut after the last word that fits, and counted."
    )
    if_missing: Literal["empty", "skip_row", "fail"] = Field(
        default="empty", description="Where there is no value: an empty cell, no row, or no file."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, given: Any) -> Any:
        return {"header": given, "field": given} if isinstance(given, str) else given

    @field_validator("value")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if not isinstance(value, str | int | Decimal) or (isinstance(value, str) and len(value) > MAX_TEXT):
            raise ValueError(f"must be a string of up to {MAX_TEXT:,} characters, a number, true or false")
        if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
            raise ValueError("is an integer of more than 64 bits; write it as a string")
        if isinstance(value, Decimal):
            try:
                Decimal128(value)
            except (InvalidOperation, ValueError, OverflowError):
                raise ValueError("has more than 34 digits; write it as a string") from None
        return value

    @field_validator("template")
    @classmethod
    def _template(cls, text: str | None) -> str | None:
        if text is not None:
            for _, name in _pieces(text):
                if name == "":
                    raise ValueError("has braces without a field; a brace as such is written {{ or }}")
                if problem := name_problem(name or ""):
                    raise ValueError(problem)
        return text

    @field_validator("field", "fallback", "first_of")
    @classmethod
    def _names(cls, names: Any) -> Any:
        for name in (names,) if isinstance(names, str) else names or ():
            if problem := name_problem(name):
                raise ValueError(problem)
        return names

    @model_validator(mode="after")
    def _consistent(self) -> "Column":
        given = [source for source in _SOURCES if getattr(self, source) is not None]
        if len(given) != 1:
            raise ValueError(f"must have exactly one of {', '.join(_SOURCES)}, not {' and '.join(given) or 'none'}")
        if self.fallback is not None and self.field is None:
            raise ValueError("has fallback without field; with several fields, use first_of")
        if self.map_default is not None and self.texts is None:
            raise ValueError("has map_default without map")
        return self

    def named(self) -> Iterator[tuple[str, str]]:
        """The fields that the column names, each with the place in the column where it is named."""
        if self.field is not None:
            yield "field", self.field
        for option in ("fallback", "first_of"):
            for at, name in enumerate(getattr(self, option) or ()):
                yield f"{option}[{at}]", name
        if self.template is not None:
            for _, name in _pieces(self.template):
                if name is not None:
                    yield "template", name

    def output(self) -> OutputColumn:
        """The column as the transcoders need it."""
        rules = CellRules(
            texts=self.texts,
            default_text=self.map_default,
            strip_html=self.strip_html,
            join=self.join,
            number=NumberFormat(**self.number.model_dump()) if self.number is not None else None,
            date=DateFormat(self.date.format, ZoneInfo(self.date.timezone)) if self.date is not None else None,
            true_false=self.true_false,
            case=Case(self.case) if self.case is not None else None,
            max_length=self.max_length,
            if_missing=IfMissing(self.if_missing),
        )
        constant: Constant | None = Decimal128(self.value) if isinstance(self.value, Decimal) else self.value
        return OutputColumn(self.header, self._output_pieces(), constant, self.template is not None, rules)

    def _output_pieces(self) -> tuple[str | Alternatives, ...]:
        if self.field is not None:
            return ((self.field, *(self.fallback or ())),)
        if self.first_of is not None:
            return (self.first_of,)
        return tuple((name,) if name is not None else text for text, name in _pieces(self.template or ""))


class _OrName:
    """In a JSON Schema: the annotated type, or the name of a field."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "minLength": 1, "maxLength": MAX_NAME}, handler(schema)]}


ColumnOrName = Annotated[Column, _OrName()]
"""A column; a name has become one."""


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """The parts of a template, each with the name of its field: None for text, "" for a brace that has no other."""
    for found in _PIECE.finditer(template):
        part = found[0]
        if part in ("{{", "}}"):
            yield part[0], None
        elif part[0] in "{}":
            yield part, found[1] or ""
        else:
            yield part, None


def check_headers(columns: Sequence[Column]) -> None:
    """Raise ValueError if there is no column, or if two have the same header."""
    if not columns:
        raise ValueError("columns must have at least one column")
    twice = [header for header, times in Counter(column.header for column in columns).items() if times > 1]
    if twice:
        raise ValueError(f"columns has the header {twice[0]!r} more than once; each column needs its own")


def output_columns(
    columns: Sequence[Column], checks: Mapping[str, CellCheck] | None = None, one_of: Sequence[Sequence[str]] = ()
) -> OutputColumns:
    """The columns of a file as the transcoders need them.

    Args:
        checks: what the receiver accepts, by header.
        one_of: groups of headers; every row needs a value in one of each group.
    """
    named = frozenset(name for column in columns for _, name in column.named())
    made = tuple(replace(column.output(), check=(checks or {}).get(column.header)) for column in columns)
    groups = (tuple(at for at, column in enumerate(columns) if column.header in group) for group in one_of)
    return OutputColumns(made, whole=named, one_of=tuple(group for group in groups if group))
