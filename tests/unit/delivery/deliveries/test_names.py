"""Names of files at a destination: from the platform's template, numbered if the name is taken."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from services.delivery.deliveries.attempt import is_name_for, numbered, wanted_name
from services.delivery.deliveries.delivery import Delivery, DeliveryState, File
from services.delivery.destinations.contract import DestinationConfig

AT = datetime(2026, 3, 15, 23, 30, 5, tzinfo=timezone(timedelta(hours=-2)))
FILE = File("t/j/1/p.csv", "products_2026.csv", ".csv", "text/csv", 10, "0" * 64, "csv", "Nightly: EU/US", AT)
DELIVERY = Delivery("d", "acme", "j-1", "p-1", "Shop", "sftp", FILE, DeliveryState.SENDING, AT, AT)


def name(template: str | None, file: File = FILE) -> str:
    return wanted_name(DestinationConfig(file_name=template), replace(DELIVERY, file=file))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, "products_2026.csv"),
        ("feed", "feed.csv"),
        ("feed.csv", "feed.csv"),
        ("{format}_{date}_{time}", "csv_2026-03-16_013005.csv"),
        ("{job}", "j-1.csv"),
        ("{schedule}", "Nightly_ EU_US.csv"),
        ("ümläut 🎉", "ümläut 🎉.csv"),
    ],
)
def test_a_template_is_filled_with_utc_times_and_safe_characters(template: str | None, expected: str) -> None:
    assert name(template) == expected


def test_an_empty_result_of_a_template_is_replaced_by_the_format() -> None:
    assert name("{schedule}", replace(FILE, schedule_name="")) == "csv.csv"


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        *(("shop.csv", "shop (2).csv"), ("shop", "shop (2)"), ("a.b.csv", "a.b (2).csv"), (".hidden", ".hidden (2)")),
        *(("shop.csv.gz", "shop (2).csv.gz"), ("shop.json.zst", "shop (2).json.zst"), ("shop.gz", "shop (2).gz")),
    ],
)
def test_a_number_goes_before_the_extension(plain: str, expected: str) -> None:
    assert numbered(plain, 2) == expected


def test_a_name_belongs_to_the_wanted_one_if_it_is_equal_or_numbered() -> None:
    assert is_name_for("shop.csv", "shop.csv")
    assert is_name_for("shop (7).csv", "shop.csv")
    assert not is_name_for("shop (x).csv", "shop.csv")
    assert not is_name_for("other.csv", "shop.csv")
