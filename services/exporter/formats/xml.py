"""XML: an element per product, well-formed whatever the catalogue contains; keeps nesting."""

from collections.abc import Generator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from services.exporter import transcode
from services.exporter.formats.compression import (
    MEDIA_TYPES,
    CompressionOptions,
    stored,
    stored_extension,
    stored_media_type,
)
from services.exporter.formats.contract import ExportOptions, FieldNames, Sheet
from services.exporter.transcode import Tally
from services.exporter.transcode.elements import Layout, attribute_text, element_name

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


class XmlOptions(CompressionOptions, ExportOptions):
    """The names and the layout of the elements."""

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
    layout = Layout(
        options.row,
        options.style == "attributes",
        frozenset(options.cdata or ()),
        frozenset(options.namespaces) - {""},
    )
    rows = transcode.transcoders().xml_elements(sheet.name, sheet.selection, tally, layout=layout)
    declared = "".join(
        f' xmlns{":" if prefix else ""}{prefix}="{attribute_text(uri)}"' for prefix, uri in options.namespaces.items()
    )
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<{options.root}{declared}>\n'.encode()
    for batch in sheet.batches:
        elements = rows.encode(batch)
        tally.records[sheet.name] += elements.rows
        yield elements.text
    yield f"</{options.root}>\n".encode()


FORMAT = Xml()
