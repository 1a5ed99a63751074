"""Documents as XML 1.0 elements: always well-formed, whatever keys and values contain. The rules: docs/values.md."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from services.exporter.transcode.values import SCALARS, as_object, escaped

ITEM = "item"
"""The element of each value of a list."""

# Letters that XML 1.0 allows in names in all its editions (parsers implement different ones): ASCII, Latin, Greek,
# Cyrillic, Japanese, Chinese and Korean.
_LETTERS = (
    "A-Z_a-z"
    "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    "\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03ce"
    "\u0401-\u040c\u040e-\u044f\u0451-\u045c\u045e-\u0481"
    "\u3041-\u3094\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_NAME = _LETTERS + "0-9.\\-"
_HEX = "[0-9A-Fa-f]"
# What is escaped in a name: characters that are not allowed there, the first letter of a name that begins with `xml`
# (such names are reserved), and `_` where the rest looks like an escape, even if its last `_` begins another one.
_ESCAPED = re.compile(
    f"^[^{_LETTERS}]|[^{_NAME}]|^[xX](?=[mM][lL])|^_(?=x_\\Z)|_(?=x(?:{_HEX}{{8}}|{_HEX}{{4}})(?:_|[^{_NAME}]))"
)
_EMPTY_NAME = "_x_"

# XML has no way to write these; a parser would turn a CR into LF.
_FORBIDDEN = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF], "\ufffd")
_TEXT = str.maketrans({**_FORBIDDEN, "\r": "&#13;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ATTRIBUTE = {**_TEXT, **str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"})}
_CDATA = str.maketrans({**_FORBIDDEN, "\r": "]]>&#13;<![CDATA["})


@dataclass(frozen=True, slots=True)
class Layout:
    """How documents become elements."""

    row: str
    """The name of a document's element."""
    attributes: bool = False
    """Whether plain values are attributes of the element above them."""
    cdata: frozenset[str] = frozenset()
    """Dotted names of the fields whose text is in CDATA sections; a parent means all below it."""
    prefixes: frozenset[str] = frozenset()
    """Prefixes of namespaces; a key may begin with one and a colon."""
    column_prefix: str = ""
    """What is put before the names of the columns of a request, with its colon; its prefix is among `prefixes`."""


def element_name(key: str, prefixes: Collection[str] = ()) -> str:
    """A key as the name of an element or attribute: characters that a name cannot have become `_xHHHH_`.

    Different keys have different names.
    """
    prefix, colon, local = key.partition(":")
    if colon and local and prefix in prefixes:
        return f"{prefix}:{_escaped(local)}"
    return _escaped(key)


def _escaped(name: str) -> str:
    return _ESCAPED.sub(_escape, name) if name else _EMPTY_NAME


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"_x{code:04X}_" if code <= 0xFFFF else f"_x{code:08X}_"


def attribute_text(text: str) -> str:
    """Text between the quotes of an attribute."""
    return text.translate(_ATTRIBUTE)


def element_text(text: str) -> str:
    """Text in an element."""
    return text.translate(_TEXT)


def _cdata(text: str) -> str:
    """Text in CDATA sections."""
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>').translate(_CDATA)}]]>" if text else ""


class Elements:
    """Writes elements."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._labels: dict[str, str] = {}

    def row(self, values: Mapping[str, Any]) -> str:
        """The element of a document, or of a flat row, with a line break."""
        return self._object(self._layout.row, values, "", in_cdata=False) + "\n"

    def _object(self, label: str, values: Mapping[str, Any], prefix: str, *, in_cdata: bool) -> str:
        attributes, children = [], []
        for key, value in values.items():
            name = prefix + escaped(key)
            cdata = in_cdata or name in self._layout.cdata
            if self._layout.attributes and not cdata and value.__class__ in SCALARS:
                attributes.append(f' {self._label(key)}="{attribute_text(SCALARS[value.__class__](value))}"')
            else:
                children.append(self._element(self._label(key), value, name, in_cdata=cdata))
        return _element(label, "".join(children), "".join(attributes))

    def _element(self, label: str, value: Any, name: str, *, in_cdata: bool) -> str:
        if isinstance(value, list):
            items = (self._element(ITEM, item, name, in_cdata=in_cdata) for item in value)
            return _element(label, "".join(items))
        scalar = SCALARS.get(value.__class__)
        if scalar is None:
            return self._object(label, as_object(value) or {}, f"{name}.", in_cdata=in_cdata)
        text = scalar(value)
        is_cdata = in_cdata and value.__class__ is str
        return _element(label, _cdata(text) if is_cdata else text.translate(_TEXT))

    def _label(self, key: str) -> str:
        label = self._labels.get(key)
        if label is None:
            if len(self._labels) >= 100_000:  # a collection may have new keys in every document
                self._labels.clear()
            label = self._labels[key] = element_name(key, self._layout.prefixes)
        return label


def _element(label: str, content: str, attributes: str = "") -> str:
    return f"<{label}{attributes}>{content}</{label}>" if content else f"<{label}{attributes}/>"
