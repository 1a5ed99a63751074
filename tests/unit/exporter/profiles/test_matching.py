"""Columns of receivers are matched to the fields that people would choose, and to none where that is not certain."""

import time

import pytest

from services.exporter.profiles.matching import MAX_SEARCHED, key_of, match_columns

FIELDS = [
    "id", "sku", "ean", "name", "brand", "price", "special_price", "tags", "attributes.color", "attributes.size",
    "dimensions.weight", "package.weight", "description.fr_FR", "stock.is_in_stock", "Größe", "additional_image_link",
]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("sku", "sku"),
        ("SKU", "sku"),
        (" Special Price ", "special_price"),
        ("special-price", "special_price"),
        ("SpecialPrice", "special_price"),
        ("attributes.color", "attributes.color"),
        ("Attributes Color", "attributes.color"),
        ("Color", "attributes.color"),
        ("colour", "attributes.color"),
        ("Brands", "brand"),
        ("descriptions", None),
        ("in stock", None),
        ("is in stock", "stock.is_in_stock"),
        ("grosse", "Größe"),
        ("fr_FR", "description.fr_FR"),
        ("weight", None),
        ("prize", None),
        ("rice", None),
        ("GTIN", None),
        ("additional image link", "additional_image_link"),
        ("additional image links", "additional_image_link"),
        ("additional image link 2", None),
        ("???", None),
    ],
)
def test_a_column_is_matched_by_its_name(header: str, field: str | None) -> None:
    [found] = match_columns([header], FIELDS)
    assert (found.header, found.field) == (header, field)


def test_what_may_be_meant_is_named_where_it_is_not_certain() -> None:
    weight, prize, other = match_columns(["weight", "prize", "condition"], FIELDS)
    assert weight.near == ("dimensions.weight", "package.weight")
    assert "price" in prize.near
    assert other.near == ()


def test_a_name_that_is_exact_is_preferred() -> None:
    fields = ["Name", "name", "supplier.name"]
    assert [one.field for one in match_columns(["name", "Name", "NAME"], fields)] == ["name", "Name", "Name"]


def test_the_order_of_the_columns_stays_and_fields_may_repeat() -> None:
    found = match_columns(["Price", "x", "price"], FIELDS)
    assert [(one.header, one.field) for one in found] == [("Price", "price"), ("x", None), ("price", "price")]


def test_keys_have_letters_and_digits_only() -> None:
    assert key_of("Prix_Net (é) 2") == "prixnete2"
    assert key_of("_-") == ""


def test_names_that_were_made_to_be_hard_to_compare_take_seconds_at_most() -> None:
    fields = [f"{'ab' * 25}{n:04}{'ba' * 220}" for n in range(1_000)] + [f"{'ab' * 25}{n:04}" for n in range(1_000)]
    started = time.monotonic()
    found = match_columns([f"{n:04}{'ba' * 25}" for n in range(500)] + ["ab" * 250], fields)
    assert time.monotonic() - started < 10
    assert (found[-1].field, len(found)) == (None, 501)


def test_a_thousand_columns_and_two_thousand_fields_take_seconds_at_most() -> None:
    fields = [f"attributes.group_{n % 7}.field_number_{n}" for n in range(2_000)]
    started = time.monotonic()
    found = match_columns([f"some unknown column {n}" for n in range(1_000)], fields)
    assert time.monotonic() - started < 10
    assert not any(one.field for one in found)
    assert not any(one.near for one in found[MAX_SEARCHED:])
