"""The names that people give to platforms, schedules and profiles."""

import pytest

from services.chassis.display_names import MAX_NAME, checked_name
from services.chassis.faults import BadRequest


def test_a_name_has_no_whitespace_around_it() -> None:
    assert checked_name(" Prices for Łódź ") == "Prices for Łódź"


@pytest.mark.parametrize("name", ["", " ", "x" * (MAX_NAME + 1), "a\nb"])
def test_a_name_that_no_list_can_show_is_refused_by_the_name_of_its_field(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        checked_name(name, "schedule_name")
    assert [violation.field for violation in refused.value.violations] == ["schedule_name"]
