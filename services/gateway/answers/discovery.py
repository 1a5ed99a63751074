"""What can be exported and where to, in REST."""

from typing import Literal

from pydantic import Field

from services.gateway.answers.described import AnyObject, Code, Count, FormatName, PlatformType
from services.gateway.answers.models import Answer


class FormatDescription(Answer):
    """A format, and the JSON Schema (2020-12) of its options."""

    name: FormatName
    media_type: str
    extension: str = Field(description="Of its files, with the dot.")
    options_schema: AnyObject


class FormatList(Answer):
    """All formats."""

    items: list[FormatDescription]


class TemplateRule(Answer):
    """A rule of a receiver in words."""

    reason: Code = Field(description="What reports give where a row breaks it.")
    rule: str


class TemplateColumn(Answer):
    """What a receiver accepts in a column."""

    name: str = Field(description="The header; in XML without the prefix.")
    required: bool = Field(description="Whether every row needs a value.")
    kind: Code = Field(
        description="What the receiver takes the text for: `text`, `price`, `gtin` or `link`; there may be more."
    )
    values: list[str] | None = Field(default=None, description="The only ones that are accepted; absent: any.")
    max_length: Count | None = Field(default=None, description="In characters; absent: any.")
    rules: list[TemplateRule] = Field(description="The same in words.")


class TemplateDescription(Answer):
    """What the receiver of a feed accepts; chosen with the option `template`."""

    name: str = Field(description="As in the option `template`.")
    title: str = Field(description="The receiver.")
    formats: list[FormatName] = Field(description="That it is made for.")
    sources: list[str] = Field(description="Addresses of the receiver's specification.")
    read_on: str = Field(description="The date on which it was read, as in `2026-11-27`.")
    columns: list[TemplateColumn] = Field(description="In the order of the specification.")
    one_of: list[list[str]] = Field(description="Every row needs a value in one column of each of these groups.")


class TemplateList(Answer):
    """All feed templates."""

    items: list[TemplateDescription]


class PlatformTypeDescription(Answer):
    """A type of platforms, and the JSON Schema (2020-12) of its configuration."""

    name: PlatformType
    config_schema: AnyObject


class PlatformTypeList(Answer):
    """All types of platforms."""

    items: list[PlatformTypeDescription]


KEYS: dict[str, Literal["locale", "currency"]] = {"locale": "locale", "currency": "currency"}


class CatalogueField(Answer):
    """A field, as in filters and `include_fields`."""

    name: str
    types: list[str] = Field(description="MongoDB's names of the types of its values. Empty: not in the sample.")
    filled: float = Field(ge=0, le=1, description="Share of the sampled documents in which it has a value.")
    example: str | None = Field(default=None, description="As it is in a CSV file, at most 100 characters.")
    keyed_by: Literal["locale", "currency"] | None = Field(
        default=None,
        description="What its last key is, and all those beside it: see the options `locales`, `currencies`.",
    )


class CatalogueFields(Answer):
    """The fields of a collection, in the order of the columns of an export."""

    collection: str
    items: list[CatalogueField] = Field(description="At most 2,000.")
    sampled_documents: Count
    total_documents: Count = Field(description="Of the collection, about.")
