"""Names of finished files."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.file_names import MAX_NAME_LENGTH, file_name, template_problem

AT = datetime(2026, 3, 15, 9, 5, 7, tzinfo=UTC)


def name_of(template: str | None, schedule: str = "") -> str:
    return file_name(template, extension=".csv", form="csv", job_id="j1", schedule=schedule, created_at=AT)


def test_the_default_says_what_and_when() -> None:
    assert name_of(None) == "products_2026-03-15_090507.csv"


def test_every_placeholder_is_filled() -> None:
    template = "{format}-{date}-{time}-{schedule}-{job}"
    assert template_problem(template) is None
    assert name_of(template, "nightly") == "csv-2026-03-15-090507-nightly-j1.csv"


def test_an_extension_is_not_doubled() -> None:
    assert name_of("shop.csv") == "shop.csv"
    assert name_of("shop.CSV") == "shop.csv"


@pytest.mark.parametrize("template", ["shop", "shop.csv", "shop.csv.gz", "shop.CSV.GZ"])
def test_a_compressed_file_has_both_extensions_once(template: str) -> None:
    name = file_name(template, extension=".csv.gz", form="csv", job_id="j1", schedule="", created_at=AT)
    assert name == "shop.csv.gz"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{when}", "unknown placeholder {when}; known are {format}"),
        ("a\r\nSet-Cookie: x", "'\\r'"),
        ("../../etc/passwd", "'/'"),
        ("c:\\x", "':'"),
        ("half {date", "brace"),
        ("   ", "empty"),
        ("..", "empty"),
    ],
)
def test_an_invalid_template_is_rejected_with_its_reason(template: str, words: str) -> None:
    assert words in (template_problem(template) or "")


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_name_from_any_valid_template_is_safe(template: str, schedule: str) -> None:
    if template_problem(template) is not None:
        return
    name = name_of(template, schedule)
    assert name.endswith(".csv")
    assert len(name) <= MAX_NAME_LENGTH
    assert not set(name) & set('/\\:*?"<>|\r\n\0\x85')
