"""Checks the cells of a row against what the receiver of the file accepts. The rules are in docs/templates.md.

Defines the result; `native/cell_checks.pxi` does the same.
"""

import re
from typing import Any

from services.exporter.catalogue.output_columns import CellCheck, CheckedKind
from services.exporter.transcode.findings import Reason
from services.exporter.transcode.values import TEXT, as_object

_PRICE = re.compile(r"[0-9]+(?:\.[0-9]+)? ([A-Z]{3})", re.ASCII)
_LINK = re.compile(r"https?://[^\x00-\x20]+")
_GTIN_DIGITS = (8, 12, 13, 14)
_SHOWN_VALUES = 10


def refusal(check: CellCheck, value: Any) -> Reason | None:
    """Why the receiver refuses a cell; None if it does not. A cell without a value is None."""
    if value is None:
        return Reason.MISSING_VALUE if check.required else None
    if value.__class__ is list or as_object(value) is not None:
        return Reason.NOT_TEXT
    return text_refusal(check, TEXT[value.__class__](value))


def text_refusal(check: CellCheck, text: str) -> Reason | None:
    """Why the receiver refuses a text; None if it does not."""
    if check.values and text not in check.values:
        return Reason.NOT_ALLOWED
    if check.max_length is not None and len(text) > check.max_length:
        return Reason.TOO_LONG
    if check.kind is CheckedKind.PRICE:
        found = _PRICE.fullmatch(text)
        return None if found and found[1] in check.currencies else Reason.INVALID_PRICE
    if check.kind is CheckedKind.GTIN:
        return None if _is_gtin(text, check.reserved_prefixes) else Reason.INVALID_GTIN
    if check.kind is CheckedKind.LINK:
        return None if _LINK.fullmatch(text) else Reason.INVALID_LINK
    return None


def _is_gtin(text: str, reserved: tuple[str, ...]) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    if len(digits) not in _GTIN_DIGITS or not (digits.isascii() and digits.isdigit()):
        return False
    # GS1 General Specifications, 7.9.1: from the right, every second digit counts three times.
    if sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(reversed(digits))) % 10:
        return False
    return len(digits) == 8 or not digits.zfill(14)[1:].startswith(reserved)


def rules_of(check: CellCheck) -> dict[Reason, str]:
    """What the receiver accepts in a column, by the reason for which it refuses other cells."""
    rules = {Reason.NOT_TEXT: "a text or a number; write lists with join"}
    if check.required:
        rules[Reason.MISSING_VALUE] = "required in every row"
    if check.values:
        more = len(check.values) - _SHOWN_VALUES
        shown = ", ".join(check.values[:_SHOWN_VALUES]) + (f" and {more} more" if more > 0 else "")
        rules[Reason.NOT_ALLOWED] = f"one of: {shown}"
    if check.max_length is not None:
        rules[Reason.TOO_LONG] = f"at most {check.max_length:,} characters"
    if check.kind is CheckedKind.PRICE:
        rules[Reason.INVALID_PRICE] = "a number with a decimal point, a space and an ISO 4217 currency, as in 15.00 EUR"
    elif check.kind is CheckedKind.GTIN:
        reserved = f"; not {', '.join(check.reserved_prefixes)} at the beginning" if check.reserved_prefixes else ""
        rules[Reason.INVALID_GTIN] = f"8, 12, 13 or 14 digits with a correct check digit{reserved}"
    elif check.kind is CheckedKind.LINK:
        rules[Reason.INVALID_LINK] = "begins with http:// or https:// and has no spaces"
    return rules
