"""A feed template: what a receiver accepts in a file, as data. The files beside this module hold the templates."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.exporter.catalogue.codes import CURRENCIES
from services.exporter.catalogue.output_columns import CellCheck, CheckedKind


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TemplateColumn(_Model):
    """What a receiver accepts in one column."""

    required: bool = False
    """Whether each row needs a value."""
    values: tuple[str, ...] = ()
    """The only texts that are accepted; empty: any."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """In characters."""
    kind: Literal["text", "price", "gtin", "link"] = "text"


class TemplateFormat(_Model):
    """How a format writes the files for a receiver."""

    options: Mapping[str, Any] = Field(default_factory=dict)
    """Options of the format; a request may only repeat them."""
    is_rss: bool = False
    """Whether the rows are the items of an RSS 2.0 channel."""
    prefix: str = ""
    """The prefix of the namespace that the columns' elements are in; empty: none."""


class Template(_Model):
    """What a receiver accepts. The order of `columns` is that of the receiver's documentation."""

    name: Annotated[str, Field(pattern="^[a-z0-9_]+$")]
    title: str
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Addresses of the specification."""
    read_on: date
    """When the specification was read."""
    formats: Mapping[Literal["csv", "xml"], TemplateFormat]
    columns: Mapping[str, TemplateColumn]
    one_of: tuple[tuple[str, ...], ...]
    """Of each group, every row needs a value in one column at least."""
    reserved_gtin_prefixes: tuple[Annotated[str, Field(pattern="^[0-9]{1,13}$")], ...]
    """Of GTIN-12, GTIN-13 and GTIN-14, written as GTIN-13."""

    @model_validator(mode="after")
    def _groups_name_columns(self) -> "Template":
        if unknown := [name for group in self.one_of for name in group if name not in self.columns]:
            raise ValueError(f"one_of names {unknown[0]}, which is not among columns")
        return self

    def check(self, column: str) -> CellCheck:
        """What the cells of a column are checked for."""
        found = self.columns[column]
        kind = CheckedKind(found.kind)
        return CellCheck(
            required=found.required,
            values=found.values,
            max_length=found.max_length,
            kind=kind,
            currencies=tuple(sorted(CURRENCIES)) if kind is CheckedKind.PRICE else (),
            reserved_prefixes=self.reserved_gtin_prefixes if kind is CheckedKind.GTIN else (),
        )
