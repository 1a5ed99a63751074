"""Conditions and options of the command line, as members of a request."""

from typing import Any

import pytest

from catalog_exports.cli.filters import BadWord, filters, members, words


@pytest.mark.parametrize(
    ("condition", "field", "operators"),
    [
        ("brand=Acme", "brand", {"eq": "Acme"}),
        ("price >= 30", "price", {"gte": "30"}),
        ("price<=30", "price", {"lte": "30"}),
        ("a!=b=c", "a", {"ne": "b=c"}),
        ("ean=0012345678905", "ean", {"eq": "0012345678905"}),
        ("name*=bag, small", "name", {"contains": "bag, small"}),
        ("name contains a>=b", "name", {"contains": "a>=b"}),
        ("name ^= The ", "name", {"starts_with": "The"}),
        ('name=" padded "', "name", {"eq": " padded "}),
        ("my attribute in Acme, Zen", "my attribute", {"in": ["Acme", "Zen"]}),
        ('brand nin ["a,b", 1]', "brand", {"nin": ["a,b", 1]}),
        ("ean exists false", "ean", {"exists": False}),
        ("note=null", "note", {"eq": None}),
        ('note="null"', "note", {"eq": "null"}),
        ("sold gt 2026-01-01T10:00:00Z", "sold", {"gt": "2026-01-01T10:00:00Z"}),
        ("origin=EU", "origin", {"eq": "EU"}),
        ("brand=", "brand", {"eq": ""}),
    ],
)
def test_a_condition_is_read(condition: str, field: str, operators: dict[str, Any]) -> None:
    assert filters([condition]) == {field: operators}


def test_conditions_on_one_field_are_joined() -> None:
    assert filters(["price>=30", "brand=Acme", "price<50"]) == {
        "price": {"gte": "30", "lt": "50"},
        "brand": {"eq": "Acme"},
    }


@pytest.mark.parametrize("condition", ["price", "=30", "", "ean exists maybe", "price like 3"])
def test_what_is_no_condition_is_refused(condition: str) -> None:
    with pytest.raises(BadWord):
        filters([condition])


def test_the_same_condition_twice_is_refused() -> None:
    with pytest.raises(BadWord, match="price has two conditions with gte"):
        filters(["price>=30", "price>=40"])


def test_options_are_json_or_text() -> None:
    given = ["utf8_bom=false", "delimiter=;", "file_name=a=b", 'include_sheets=["products"]', "max_rows_per_file=5"]
    assert members(given, is_json=True) == {
        "utf8_bom": False,
        "delimiter": ";",
        "file_name": "a=b",
        "include_sheets": ["products"],
        "max_rows_per_file": 5,
    }
    assert members(["port=22"], is_json=False) == {"port": "22"}
    for wrong in (["utf8_bom"], ["=x"], ["a=1", "a=2"]):
        with pytest.raises(BadWord):
            members(wrong, is_json=True)


def test_lists_are_separated_by_commas() -> None:
    assert words(["sku, price", "attributes.color,"]) == ["sku", "price", "attributes.color"]
