"""XML: an element per product, well-formed whatever the catalogue contains; keeps nesting."""

from collections.abc import Generator, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator

from services.exporter import transcode
from services.exporter.formats.compression import (
    MEDIA_TYPES,
    CompressionOptions,
    stored,
    stored_extension,
    stored_media_type,
)
from services.exporter.formats.contract import ExportOptions, FieldNames, Sheet
from services.exporter.formats.template_options import TemplateOptions
from services.exporter.transcode import Tally
from services.exporter.transcode.elements import Layout, attribute_text, element_name, element_text

MAX_NAMESPACES = 20
ElementName = Annotated[str, Field(strict=True, min_length=1, max_length=100)]
_PREFIX = "^([A-Za-z_][A-Za-z0-9_.-]*)?$"
# An absolute URI (RFC 3986); parsers warn of others.
_URI = r"^[A-Za-z][A-Za-z0-9+.-]*:[!#-;=?-\[\]_a-z~]+$"
Prefix = Annotated[str, Field(strict=True, max_length=50, pattern=_PREFIX)]
Uri = Annotated[str, Field(strict=True, max_length=500, pattern=_URI)]
Namespaces = Annotated[
    dict[Prefix, Uri],
    # pydantic's own has `patternProperties`, of which generators of clients make nothing.
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"maxLength": 50, "pattern": _PREFIX},
            "additionalProperties": {"type": "string", "maxLength": 500, "pattern": _URI},
            "maxProperties": MAX_NAMESPACES,
        }
    ),
]
_RESERVED = ("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/")


ChannelText = Annotated[str, Field(strict=True, min_length=1, max_length=1_000)]


class Channel(BaseModel):
    """The channel of an RSS file, for templates that are written as RSS 2.0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: ChannelText = Field(description="The name of the feed.")
    link: Annotated[str, Field(strict=True, max_length=2_000, pattern=r"^https?://[^\x00-\x20]+$")] = Field(
        description="The shop's website.", examples=["https://shop.example.com"]
    )
    description: ChannelText = Field(description="What the feed contains.")


class XmlOptions(CompressionOptions, TemplateOptions):
    """The names and the layout of the elements."""

    template_format = "xml"

    # First: the names of elements may have these prefixes.
    namespaces: Namespaces = Field(
        default_factory=dict,
        max_length=MAX_NAMESPACES,
        description="Prefixes and their URIs, declared on the root; elements and fields may have them (`g:price`).",
        examples=[{"g": "http://base.google.com/ns/1.0"}],
    )
    root: ElementName = Field(default="products", description="The outermost element.")
    row: ElementName = Field(default="product", description="The element of a product.")
    style: Literal["elements", "attributes"] = Field(
        default="elements",
        description="Values are child elements; or attributes, except lists, objects and the fields in `cdata`.",
    )
    cdata: FieldNames | None = Field(
        default=None, description="Fields whose text is written in CDATA sections; a parent means all below it."
    )

    channel: Channel | None = Field(
        default=None, description="Required by templates that are written as RSS 2.0, and only possible with them."
    )

    def completed(self) -> tuple[Self, Sequence[tuple[str, str]]]:
        """As of all formats; a channel belongs to RSS."""
        options, problems = super().completed()
        is_rss = self.feed is not None and self.feed[1].is_rss
        if is_rss and self.channel is None:
            problems = [*problems, ("channel", "is required: RSS 2.0 needs a channel with title, link and description")]
        if not is_rss and self.channel is not None:
            problems = [*problems, ("channel", "is only possible with a template that is written as RSS 2.0")]
        return options, problems

    @field_validator("namespaces")
    @classmethod
    def _namespaces_are_distinct(cls, namespaces: dict[str, str]) -> dict[str, str]:
        for prefix, uri in namespaces.items():
            if prefix.lower().startswith("xml"):
                raise ValueError(f"has the prefix {prefix}; prefixes that begin with xml are reserved")
            if uri in _RESERVED:
                raise ValueError(f"has the URI {uri}, which XML reserves")
        if len(set(namespaces.values())) < len(namespaces):
            raise ValueError("has a URI more than once; declare one prefix for it")
        return namespaces

    @field_validator("root", "row")
    @classmethod
    def _is_a_name(cls, name: str, info: ValidationInfo) -> str:
        prefix, colon, _ = name.partition(":")
        declared = info.data.get("namespaces", {prefix: ""})
        if colon and prefix not in declared:
            raise ValueError(f"has the prefix {prefix!r}, which namespaces does not declare")
        if element_name(name, {*declared} - {""}) != name:
            raise ValueError(
                "is not the name of an XML element: begin with a letter, go on with letters, digits, _ - ."
            )
        return name


class Xml:
    """The products as XML."""

    name: ClassVar[str] = "xml"
    flat: ClassVar[bool] = False
    media_types: ClassVar[Sequence[str]] = ("application/xml", *MEDIA_TYPES.values())
    Options: ClassVar[type[ExportOptions]] = XmlOptions

    def extension(self, options: XmlOptions) -> str:
        """`.xml`, and the suffix of its compression."""
        return stored_extension(".xml", options)

    def media_type(self, options: XmlOptions) -> str:
        """RFC 7303, or that of its compression."""
        return stored_media_type(self.media_types[0], options)

    def sheets(self, options: XmlOptions) -> Sequence[str]:  # noqa: ARG002
        """The products only."""
        return ["products"]

    def encode(self, sheets: Sequence[Sheet], options: XmlOptions, tally: Tally) -> Generator[bytes, None, None]:
        """The root with a line per product, one chunk per batch; compressed if requested."""
        [sheet] = sheets
        tally.records[sheet.name] = 0
        return stored(_content(sheet, options, tally), options)


def _content(sheet: Sheet, options: XmlOptions, tally: Tally) -> Generator[bytes, None, None]:
    column_prefix = f"{options.feed[1].prefix}:" if options.feed is not None and options.feed[1].prefix else ""
    layout = Layout(
        options.row,
        options.style == "attributes",
        frozenset(column_prefix + name for name in options.cdata or ()),
        frozenset(options.namespaces) - {""},
        column_prefix,
    )
    rows = transcode.transcoders().xml_elements(sheet.name, sheet.selection, tally, layout=layout)
    declared = "".join(
        f' xmlns{":" if prefix else ""}{prefix}="{attribute_text(uri)}"' for prefix, uri in options.namespaces.items()
    )
    start, end = _channel(options.channel) if options.channel is not None else ("", "")
    version = ' version="2.0"' if start else ""
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<{options.root}{version}{declared}>\n{start}'.encode()
    for batch in sheet.batches:
        elements = rows.encode(batch)
        tally.records[sheet.name] += elements.rows
        yield elements.text
    yield f"{end}</{options.root}>\n".encode()


def _channel(channel: Channel) -> tuple[str, str]:
    """What is before and after the items of an RSS 2.0 file, inside its root."""
    parts = {"title": channel.title, "link": channel.link, "description": channel.description}
    about = "".join(f"<{name}>{element_text(text)}</{name}>\n" for name, text in parts.items())
    return f"<channel>\n{about}", "</channel>\n"


FORMAT = Xml()
