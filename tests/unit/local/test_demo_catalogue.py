"""The demo catalogue: always the same, and as awkward as it claims."""

import hashlib
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64

from deploy.local.demo.checks.rules import leaves
from deploy.local.demo.products.catalogue import Catalogue, made
from deploy.local.demo.products.codes import ean13, isbn13

DIGEST = "0c53fe4079ed7f6738d080beb1b4e1646d0715b19c480a39191de10aa1305451"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return made()


def test_it_is_the_same_on_every_machine_and_every_python(catalogue: Catalogue) -> None:
    digest = hashlib.sha256()
    for document in catalogue.products + catalogue.suppliers:
        digest.update(bson.encode(document))
    assert digest.hexdigest() == DIGEST


def test_it_has_5000_products_and_50_suppliers_in_the_order_of_their_ids(catalogue: Catalogue) -> None:
    for documents, count in ((catalogue.products, 5_000), (catalogue.suppliers, 50)):
        ids = [document["_id"] for document in documents]
        assert len(ids) == count
        assert ids == sorted(set(ids))


def test_a_smaller_one_is_its_beginning(catalogue: Catalogue) -> None:
    small = made(7, 3)
    assert small.products == catalogue.products[:7]
    assert small.suppliers == catalogue.suppliers[:3]


def test_families_differ_in_their_attributes(catalogue: Catalogue) -> None:
    attributes: dict[str, set[str]] = {}
    for product in catalogue.products:
        attributes.setdefault(product["family"], set()).update(product["attributes"])
    assert len(attributes) == 6
    assert len({frozenset(names) for names in attributes.values()}) == 6


def values(catalogue: Catalogue) -> list[Any]:
    return [value for product in catalogue.products for value in leaves(product).values()]


@pytest.mark.parametrize(
    "kind", [str, bool, int, Int64, float, Decimal128, datetime, list, dict, type(None)], ids=lambda kind: kind.__name__
)
def test_every_kind_of_value_occurs(catalogue: Catalogue, kind: type) -> None:
    assert any(type(value) is kind for value in values(catalogue))


@pytest.mark.parametrize("text", ["<em>", '"', "\n", "\r\n", "\t", "👨‍👩‍👧‍👦", "ü", "|", ",", ";", "_x0041_", "\\"])
def test_every_kind_of_text_occurs(catalogue: Catalogue, text: str) -> None:
    assert any(text in value for value in values(catalogue) if isinstance(value, str))


def test_what_a_spreadsheet_would_break_occurs(catalogue: Catalogue) -> None:
    found = [value for value in values(catalogue) if value is not None]
    assert any(isinstance(value, str) and value.startswith("=") for value in found)
    assert any(isinstance(value, int) and value > 2**53 for value in found)
    assert any(isinstance(value, datetime) and value.year < 1900 for value in found)
    assert any(isinstance(value, list) and any(isinstance(item, dict) for item in value) for value in found)
    assert [] in found
    assert {} in found
    assert "" in found


def test_eans_keep_leading_zeros_have_right_check_digits_and_may_be_missing(catalogue: Catalogue) -> None:
    eans = [product.get("ean") for product in catalogue.products]
    there = [ean for ean in eans if ean is not None]
    assert 0 < len(there) < len(eans)
    assert any(ean.startswith("0") for ean in there)
    for ean in there:
        assert len(ean) == 13
        assert sum(int(digit) * (1, 3)[at % 2] for at, digit in enumerate(ean)) % 10 == 0


def test_check_digits_are_those_of_known_articles() -> None:
    assert ean13(400_638_133_393) == "4006381333931"
    assert ean13(0) == "0000000000000"
    assert isbn13(30_640_615) == "9780306406157"
