"""Cells of a worksheet as XML (ECMA-376 part 1, 18.3): text inline, never a formula; other values typed."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from bson import Decimal128, Int64

from services.exporter.transcode.values import TEXT

MAX_TEXT = 32_767
"""UTF-16 code units in a cell."""
MAX_DIGITS = 15
"""Significant digits of a number in a spreadsheet."""

MAX_SHOWN = 60
"""Characters of a cell that count for the width of its column."""
_BOOL_SHOWN, _DATE_SHOWN = len("FALSE"), len("2026-03-15 12:30:00")
WIDTH_MARGIN = 2
WIDTH_STEPS = (8, 10, 12, 15, 20, 25, 30, 40, 50, MAX_SHOWN)
"""Widths in steps: with exact ones, a slightly longer cell would force a second pass over the documents."""
SMALLEST = 2.3e-308
"""The smallest positive number in a spreadsheet: it has no subnormal doubles."""

# ECMA-376 22.4.2.4: characters that XML 1.0 forbids are written _xHHHH_; so is CR, which a parser would turn into LF.
# In text that already looks like such an escape, the first `_` is escaped, even if its last `_` begins another escape.
_FORBIDDEN_CHARACTERS = "\x00-\x08\x0b-\x1f\ufffe\uffff"
_FORBIDDEN = re.compile(f"[{_FORBIDDEN_CHARACTERS}]|_(?=x[0-9A-Fa-f]{{4}}[_{_FORBIDDEN_CHARACTERS}])")
_MARKUP = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_FIRST_DATE = datetime(1900, 3, 1)  # before that, spreadsheets count a 29 February 1900, which did not exist
_DAY_ZERO = datetime(1899, 12, 30)

STYLED_COLUMNS = 16_000
"""The columns after these share one pair of styles: a workbook has at most 65,490 styles."""
HAS_MILLIS, HAS_MONEY, HAS_OTHERS = 1, 2, 4
"""What a column holds: dates with milliseconds; Decimal128 of at most two decimals; values that are not the latter."""
_MAX_MONEY = 1e15


def styles_of(first: int, column: int) -> tuple[int, int]:
    """The styles of a column's dates and of its Decimal128, given the first style of the worksheet."""
    date = first + 2 * min(column, STYLED_COLUMNS)
    return date, date + 1


def column_letters(number: int) -> str:
    """A for 1, AA for 27."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_width(characters: int) -> int:
    """The width of a column whose longest cell has this many characters; in characters."""
    return next((step for step in WIDTH_STEPS if characters + WIDTH_MARGIN <= step), WIDTH_STEPS[-1])


def column_widths(columns: Sequence[str], longest: Sequence[int]) -> dict[str, int]:
    """Widths by column, given the characters of the longest cell of each column."""
    return {name: column_width(max(len(name), cell)) for name, cell in zip(columns, longest, strict=True)}


def escaped_text(text: str) -> str:
    """Text escaped for XML without losing a character."""
    if _FORBIDDEN.search(text):
        text = _FORBIDDEN.sub(lambda found: f"_x{ord(found.group()):04X}_", text)
    return text.translate(_MARKUP) if "&" in text or "<" in text or ">" in text else text


def cut_text(text: str) -> str:
    """The beginning of a text that fits into a cell, without splitting a surrogate pair."""
    if len(text) * 2 <= MAX_TEXT:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= MAX_TEXT * 2:
        return text
    return units[: MAX_TEXT * 2].decode("utf-16-le", "ignore")


class Cells:
    """Writes cells; `cut` counts the texts that were too long.

    `longest` holds the number of characters of the longest cell in each column, up to `MAX_SHOWN`, and `contents` what
    each column holds (`HAS_MILLIS` and so on).
    """

    def __init__(self, first_style: int, width: int) -> None:
        self.cut = 0
        self.longest = [0] * width
        self.contents = [0] * width
        self._shown = 0
        self._content = 0
        self._styles = [styles_of(first_style, column) for column in range(width)]
        self._date_style = self._decimal_style = 0
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
        """One row; null, missing values and empty text have no cell."""
        cells = []
        for at, (letter, value) in enumerate(zip(letters, values, strict=True)):
            if value is None:
                continue
            self._content = HAS_OTHERS
            self._date_style, self._decimal_style = self._styles[at]
            if inner := self._inner[value.__class__](value):
                cells.append(f'<c r="{letter}{number}"{inner}')
                self.longest[at] = max(self.longest[at], min(self._shown, MAX_SHOWN))
                self.contents[at] |= self._content
        return f'<row r="{number}">{"".join(cells)}</row>'

    def heading(self, names: Sequence[str], letters: Sequence[str], attributes: str) -> str:
        """The first row: the names as text, in cells with these attributes."""
        cells = [
            f'<c r="{letter}1"{attributes}{self._text(name) or "/>"}'
            for letter, name in zip(letters, names, strict=True)
        ]
        return f'<row r="1">{"".join(cells)}</row>'

    def _text(self, value: str) -> str:
        if not value:
            return ""
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
        if -(10**MAX_DIGITS) < value < 10**MAX_DIGITS:
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
        # Decimal.normalize would round to the context's 28 digits; there may be 34.
        digits = "".join(map(str, exact.as_tuple().digits)).rstrip("0")
        near = float(exact)
        if len(digits) > MAX_DIGITS or (exact != 0 and not SMALLEST <= abs(near) < math.inf):
            return self._other(value)
        last = int(exact.as_tuple().exponent) + len(exact.as_tuple().digits) - len(digits)
        self._content = HAS_MONEY if (last >= -2 or exact == 0) and abs(near) < _MAX_MONEY else HAS_OTHERS
        return f' s="{self._decimal_style}"{self._float(near)}'

    def _date(self, value: datetime) -> str:
        if value < _FIRST_DATE:
            return self._other(value)
        past = value - _DAY_ZERO
        self._shown = _DATE_SHOWN
        if value.microsecond:
            self._content |= HAS_MILLIS
        serial = past.days + (past.seconds + past.microseconds / 1e6) / 86_400
        return f' s="{self._date_style}"><v>{serial!r}</v></c>'
