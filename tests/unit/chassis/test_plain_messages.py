"""What is said about an invalid value presupposes neither Python nor pydantic."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from services.chassis.faults import violations_of
from services.chassis.json_types import HOWEVER_WRITTEN


class Model(BaseModel):
    ids: tuple[UUID, ...] = Field((), max_length=1)
    word: Literal["a", "b"] = "a"
    text: str = Field("", max_length=3)
    flag: bool = False
    nested: dict[str, int] = {}
    number: Annotated[int, Field(strict=True, ge=1), HOWEVER_WRITTEN] = 1
    ratio: float = Field(1, gt=0)
    checked: str = ""

    @field_validator("checked")
    @classmethod
    def _never(cls, _: str) -> str:
        raise ValueError("is never right")


UUIDS = 2 * [str(UUID(int=1))]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("ids", "x", "must be a list"),
        ("ids[0]", ["x"], "must be a UUID"),
        ("ids", UUIDS, "must have at most 1 item"),
        ("word", "c", "must be 'a' or 'b'"),
        ("text", "long", "must have at most 3 characters"),
        ("text", 5, "must be a string"),
        ("flag", "maybe", "must be true or false"),
        ("nested", [], "must be a JSON object"),
        ("nested.a", {"a": "b"}, "must be a whole number"),
        ("number", 0, "must be greater than or equal to 1"),
        ("number", 1.5, "must be a whole number"),
        ("number", Decimal("1.5"), "must be a whole number"),
        ("number", Decimal("1E+999999999"), "must be a whole number"),
        ("number", "1", "must be a whole number"),
        ("number", True, "must be a whole number"),
        ("ratio", "x", "must be a number"),
        ("ratio", 0, "must be greater than 0"),
        ("checked", "x", "is never right"),
        ("other", 1, "is unknown"),
    ],
)
def test_a_message_is_plain(field: str, value: Any, message: str) -> None:
    class Strict(Model, extra="forbid"):
        pass

    with pytest.raises(ValidationError) as raised:
        Strict.model_validate({re.split(r"[.[]", field)[0]: value})
    [found] = violations_of(raised.value, unknown="is unknown")
    assert (found.field, found.message) == (field, message)


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    assert Model.model_validate_json('{"number": 50000.0}').number == 50_000


@pytest.mark.parametrize("written", [5, 5.0, Decimal("5.0"), Decimal("0.5E+1")])
def test_an_integer_may_be_written_with_a_point_or_an_exponent(written: Any) -> None:
    assert Model.model_validate({"number": written}).number == 5
