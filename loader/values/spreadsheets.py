"""What spreadsheets make of a value on their own, when they open a file and save it.

They keep 15 digits of a number and often show fewer, they show TRUE for true, and times without milliseconds.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation

from loader.values.json_values import NUMBER
from services.exporter.transcode.sheet_xml import SMALLEST

# `1.23457E-07`: a spreadsheet shows at least six digits, except zeros at the end.
_MIN_SHOWN_DIGITS = 6
# LibreOffice shows a number that has an exponent in CSV as `1.23E-07`.
_LIBREOFFICE_DIGITS = 3
# `0.333333333`, `12345678.12`: otherwise it shows at least ten digits, including the 0 before the point.
_MIN_DIGITS_AND_ZERO = 10
_KEPT_DIGITS = 15
_DOUBLE_DIGITS = 17

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(\.\d{1,6})?)?)?Z?", re.ASCII)
_DAY, _MINUTE, _SECOND, _MILLISECOND = (
    timedelta(days=1),
    timedelta(minutes=1),
    timedelta(seconds=1),
    timedelta(milliseconds=1),
)


def is_resaved(cell: str, shown: str) -> bool:
    """Whether a spreadsheet writes this cell when it saves a file in which the cell was `shown`."""
    if shown.lower() in ("true", "false"):
        return cell in (shown.upper(), "1" if shown.lower() == "true" else "0")
    if "_xFFF" in cell:  # the escapes of two characters that XML forbids; calamine does not decode them
        return cell.replace("_xFFFE_", "\ufffe").replace("_xFFFF_", "\uffff") == shown
    if _TIME.fullmatch(cell) and _TIME.fullmatch(shown):
        return _is_same_time(cell, shown)
    return bool(NUMBER.fullmatch(cell) and NUMBER.fullmatch(shown)) and _is_same_number(cell, shown)


def time_of(cell: str) -> datetime | None:
    """The time in a cell such as `2026-03-01 09:30:00`, as spreadsheets write it; None if it is something else."""
    return _parsed(cell) if (found := _TIME.fullmatch(cell)) and found[2] else None


def _parsed(cell: str) -> datetime | None:
    try:
        return _rounded(datetime.fromisoformat(cell.removesuffix("Z")), _MILLISECOND)
    except ValueError:
        return None


def _is_same_time(cell: str, shown: str) -> bool:
    """Whether the cell is the time that is shown, rounded or truncated to the precision of the cell."""
    written, exact, found = _parsed(cell), _parsed(shown), _TIME.fullmatch(cell)
    if not written or not exact or not found:
        return False
    _, minutes, seconds, fraction = found.groups()
    precision = _SECOND if seconds else _MINUTE if minutes else _DAY
    if fraction:
        precision = max(_MILLISECOND, timedelta(microseconds=10 ** (7 - len(fraction))))
    return written in (_truncated(exact, precision), _rounded(exact, precision))


def _truncated(at: datetime, precision: timedelta) -> datetime:
    return at - (at - datetime.min) % precision


def _rounded(at: datetime, precision: timedelta) -> datetime:
    return _truncated(at + min(precision / 2, datetime.max - at), precision)


def _is_same_number(cell: str, shown: str) -> bool:
    """Whether the cell is the number that is shown, rounded half up to the digits of the cell.

    With fewer digits than spreadsheets show, the cell was edited: `0.33` is not what they make of `0.333333333333`.
    """
    try:
        written, exact = Decimal(cell), Decimal(shown)
    except InvalidOperation:  # an exponent of too many digits
        return False
    if written == exact:
        return True
    if not written:
        return abs(exact) < SMALLEST
    if not exact or written.adjusted() - exact.adjusted() not in (-1, 0, 1):
        return False
    if len(exact.as_tuple().digits) > _KEPT_DIGITS == len(written.as_tuple().digits):
        # LibreOffice sometimes rounds the last of the 15 digits the other way.
        return abs(written - exact) < Decimal(1).scaleb(exact.adjusted() + 1 - _KEPT_DIGITS)
    if "e" in cell.lower():
        digits = len(written.as_tuple().digits)
        if digits != _LIBREOFFICE_DIGITS or "e" not in shown.lower():
            digits = max(_MIN_SHOWN_DIGITS, digits)
        return any(written == _half_up(number, digits) for number in _as_kept(exact))
    if written == Context(prec=_KEPT_DIGITS, rounding=ROUND_DOWN).plus(exact):
        return True
    before_point = max(1, exact.adjusted() + 1)
    decimals = max(0, -int(written.as_tuple().exponent), _MIN_DIGITS_AND_ZERO - before_point)
    return any(written == _half_up(number, number.adjusted() + 1 + decimals) for number in _as_kept(exact))


def _half_up(number: Decimal, digits: int) -> Decimal:
    """The number with this many significant digits, or with the 15 that spreadsheets keep."""
    return Context(prec=max(1, min(digits, _DOUBLE_DIGITS)), rounding=ROUND_HALF_UP).plus(number)


def _as_kept(exact: Decimal) -> Iterator[Decimal]:
    """The number, and what is left of it in a spreadsheet: programs round its 15 digits, or the double itself."""
    yield exact
    yield Context(prec=_KEPT_DIGITS, rounding=ROUND_HALF_UP).plus(exact)
    yield Decimal(float(exact))
