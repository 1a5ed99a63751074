"""Types of values in JSON bodies, for pydantic models. Pure."""

from decimal import Decimal
from typing import Any

from pydantic import BeforeValidator

MAX_DIGITS = 19
"""No integer of a body is longer, and the integer of 1E+1000000 would not fit into memory."""


def _as_integer(value: Any) -> Any:
    """JSON does not tell 50000.0, 5e4 and 50000 apart."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < MAX_DIGITS:
        return int(value) if value == value.to_integral_value() else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


HOWEVER_WRITTEN = BeforeValidator(_as_integer)
"""Follows `Field(strict=True, ...)` of an integer: it may be written as 50000.0, but not as text or a boolean."""
