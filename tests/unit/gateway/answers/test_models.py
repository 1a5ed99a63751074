"""Bodies of answers as text."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.timestamps import rfc3339
from services.gateway.answers.models import Accepted, FieldError, Job, JobPage, Problem

AT = datetime(2026, 3, 15, 9, 0, tzinfo=UTC)


def job(options: str = "{}", **more: object) -> Job:
    values = {"id": "1", "status": "processing", "format": "csv", "created_at": AT, "options": options, **more}
    return Job.model_validate(values)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_reads_back_to_the_millisecond(at: datetime) -> None:
    text = rfc3339(at)
    assert text.endswith("Z")
    assert timedelta(0) <= at - datetime.fromisoformat(text) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (AT, "2026-03-15T09:00:00.000Z"),
        (AT.replace(microsecond=120_000), "2026-03-15T09:00:00.120Z"),
        (AT.replace(microsecond=999), "2026-03-15T09:00:00.000Z"),
    ],
)
def test_an_instant_always_has_milliseconds(at: datetime, text: str) -> None:
    assert rfc3339(at) == text


def test_an_accepted_job_says_what_is_documented_and_nothing_else() -> None:
    text = Accepted(id="1", status="processing", format="csv", created_at=AT).text()
    assert json.loads(text) == {
        "id": "1",
        "status": "processing",
        "format": "csv",
        "created_at": "2026-03-15T09:00:00.000Z",
    }


def test_what_does_not_apply_is_left_out() -> None:
    assert set(json.loads(job().text())) == {"id", "status", "format", "created_at", "options"}


@pytest.mark.parametrize(
    "options",
    ["{}", '{"filters":{"cost":12.10,"big":1e400,"n":123456789012345678901234567890}}', '{ "a": {"b": null}}'],
)
def test_options_are_shown_to_the_digit_as_they_came(options: str) -> None:
    text = job(options).text()
    assert options in text
    assert json.loads(text)["options"] == json.loads(options)


def test_a_brace_at_the_end_of_a_text_does_not_disturb_the_options() -> None:
    assert json.loads(job(file_name="}}").text())["file_name"] == "}}"


def test_a_page_always_has_its_cursor() -> None:
    assert json.loads(JobPage(items=[], next_cursor=None).text()) == {"items": [], "next_cursor": None}
    page = json.loads(JobPage(items=[job(), job('{"pretty":false}')], next_cursor="abc").text())
    assert page["next_cursor"] == "abc"
    assert [item["options"] for item in page["items"]] == [{}, {"pretty": False}]


def test_a_problem_without_errors_has_no_such_member() -> None:
    plain = Problem(type="urn:x", title="Not Found", status=404, detail="No.", code="x")
    assert set(json.loads(plain.text())) == {"type", "title", "status", "detail", "code"}
    detailed = plain.model_copy(update={"errors": [FieldError(field="f", message="m")]})
    assert json.loads(detailed.text())["errors"] == [{"field": "f", "message": "m"}]
