"""Cells of a worksheet as XML (ECMA-376 part 1, 18.3): text inline, never a formula; other values typed."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from bson import Decimal128, Int64

from services.exporter.transcode.values import TEXT

LONGEST_TEXT = 32_767
"""UTF-16 units a cell holds."""
MOST_DIGITS = 15
"""Significant digits a spreadsheet's number keeps."""

SMALLEST = 2.3e-308
"""Nearer to zero a spreadsheet has no number: its doubles are never subnormal."""

# ECMA-376 22.4.2.4: what XML 1.0 forbids is written _xHHHH_, and CR too, which a parser would turn into LF. A text that
# looks like that itself, also when its last `_` will be that of the next escape, has its first one escaped.
_FORBIDDEN_CHARACTERS = "\x00-\x08\x0b-\x1f\ufffe\uffff"
_FORBIDDEN = re.compile(f"[{_FORBIDDEN_CHARACTERS}]|_(?=x[0-9A-Fa-f]{{4}}[_{_FORBIDDEN_CHARACTERS}])")
_MARKUP = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_FIRST_DATE = datetime(1900, 3, 1)  # before it, spreadsheets count a 29 February 1900 that never was
_DAY_ZERO = datetime(1899, 12, 30)


def column_letters(number: int) -> str:
    """A for 1, AA for 27."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def escaped_text(text: str) -> str:
    """Text as it stands in XML, with every character of it."""
    if _FORBIDDEN.search(text):
        text = _FORBIDDEN.sub(lambda found: f"_x{ord(found.group()):04X}_", text)
    return text.translate(_MARKUP) if "&" in text or "<" in text or ">" in text else text


def cut_text(text: str) -> str:
    """The beginning of a text that fits into a cell, without half a surrogate pair."""
    if len(text) * 2 <= LONGEST_TEXT:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= LONGEST_TEXT * 2:
        return text
    return units[: LONGEST_TEXT * 2].decode("utf-16-le", "ignore")


MOST_SHOWN = 60
"""Characters counted of a cell; no column is made wider."""
_BOOL_SHOWN, _DATE_SHOWN = len("FALSE"), len("2026-03-15 12:30:00")


class Cells:
    """Writes cells; `cut` counts the texts that were too long.

    `longest` holds the characters of the longest cell that each column has had, at most `MOST_SHOWN`.
    """

    def __init__(self, date_style: int, width: int) -> None:
        self.cut = 0
        self.longest = [0] * width
        self._shown = 0
        self._date_style = date_style
        self._inner: dict[type, Callable[[Any], str]] = {
            **dict.fromkeys(TEXT, self._other),
            str: self._text,
            bool: self._bool,
            int: self._integer,
            Int64: self._integer,
            float: self._float,
            Decimal128: self._decimal,
            datetime: self._date,
        }

    def row(self, values: Sequence[Any], letters: Sequence[str], number: int) -> str:
        """One row; null and missing make no cell."""
        cells = []
        for at, (letter, value) in enumerate(zip(letters, values, strict=True)):
            if value is not None:
                cells.append(f'<c r="{letter}{number}"{self._inner[value.__class__](value)}')
                self.longest[at] = max(self.longest[at], min(self._shown, MOST_SHOWN))
        return f'<row r="{number}">{"".join(cells)}</row>'

    def heading(self, names: Sequence[str], letters: Sequence[str], attributes: str) -> str:
        """The first row: every name as text, its cell with these attributes."""
        cells = [f'<c r="{letter}1"{attributes}{self._text(name)}' for letter, name in zip(letters, names, strict=True)]
        return f'<row r="1">{"".join(cells)}</row>'

    def _text(self, value: str) -> str:
        text = cut_text(value)
        if len(text) != len(value):
            self.cut += 1
        self._shown = len(text)
        space = ' xml:space="preserve"' if text != text.strip() or "\n" in text or "  " in text else ""
        return f' t="inlineStr"><is><t{space}>{escaped_text(text)}</t></is></c>'

    def _other(self, value: Any) -> str:
        return self._text(TEXT[value.__class__](value))

    def _bool(self, value: bool) -> str:
        self._shown = _BOOL_SHOWN
        return f' t="b"><v>{value:d}</v></c>'

    def _integer(self, value: int) -> str:
        if -(10**MOST_DIGITS) < value < 10**MOST_DIGITS:
            return self._number(str(value))
        return self._text(str(value))

    def _number(self, digits: str) -> str:
        self._shown = len(digits)
        return f"><v>{digits}</v></c>"

    def _float(self, value: float) -> str:
        if math.isfinite(value) and (value == 0 or abs(value) >= SMALLEST):
            return self._number(repr(value))
        return self._other(value)

    def _decimal(self, value: Decimal128) -> str:
        exact = value.to_decimal()
        if not exact.is_finite():
            return self._other(value)
        # Not Decimal.normalize: it rounds to the context's 28 digits, of up to 34.
        digits = "".join(map(str, exact.as_tuple().digits)).rstrip("0")
        near = float(exact)
        if len(digits) > MOST_DIGITS or (exact != 0 and not SMALLEST <= abs(near) < math.inf):
            return self._other(value)
        return self._float(near)

    def _date(self, value: datetime) -> str:
        if value < _FIRST_DATE:
            return self._other(value)
        past = value - _DAY_ZERO
        self._shown = _DATE_SHOWN
        serial = past.days + (past.seconds + past.microseconds / 1e6) / 86_400
        return f' s="{self._date_style}"><v>{serial!r}</v></c>'
