"""What can be exported and where to, in REST."""

from typing import Literal

from pydantic import Field

from services.gateway.answers.described import AnyObject, Count, FormatName, PlatformType
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
