"""Requests are checked against the catalogue before they are accepted, quickly even if the catalogue is large."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient, monitoring

from services.chassis.faults import BadRequest, Unavailable
from services.exporter.formats import formats
from services.exporter.requests.fields import SAMPLE_SECONDS, check_fields
from services.exporter.requests.request import check_request

AT = datetime(2026, 3, 15, tzinfo=UTC)
SHOP: list[dict[str, Any]] = [
    {"_id": ObjectId(), "sku": "A", "price": 52.0, "attributes": {"color": "Black"}, "updated_at": AT, "a.b": 1},
    {"_id": ObjectId(), "id": 7, "sku": "B", "variants": [{"stock": 5}, {"sizes": ["S", "M"]}], "nothing": None},
]

Client = MongoClient[dict[str, Any]]


class Commands(monitoring.CommandListener):
    """The names of the commands that a client has sent."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not recorded."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not recorded."""


@pytest.fixture(scope="module")
def client(mongo_uri: str) -> Iterator[Client]:
    with Client(mongo_uri) as client:
        client["catalogue_fields"]["products"].insert_many(SHOP)
        many = ({"_id": n, "sku": str(n), "price": float(n)} for n in range(20_000))
        client["catalogue_many"]["products"].insert_many(many)
        client["catalogue_many"]["products"].insert_one({"_id": "last", "rare": "n/a", "price": "on request", "x.y": 1})
        yield client
        client.drop_database("catalogue_fields")
        client.drop_database("catalogue_many")


def check(client: Client, tenant: str = "fields", known: tuple[str, ...] = (), **options: Any) -> None:
    seconds = options.pop("seconds", 30.0)
    request = check_request(formats(), "csv", json.dumps(options))
    check_fields(client, tenant, request, known, seconds=seconds)


def refusal(client: Client, tenant: str = "fields", known: tuple[str, ...] = (), **options: Any) -> BadRequest:
    with pytest.raises(BadRequest) as refused:
        check(client, tenant, known, **options)
    return refused.value


@pytest.mark.parametrize(
    "filters",
    [
        {"sku": "A", "attributes.color": "Black", "price": {"lt": "52.5"}},
        {"attributes": {"exists": True}},
        {"id": 7},
        {"id": str(SHOP[0]["_id"])},
        {"variants.stock": {"gte": 5}},
        {"variants.sizes": "M"},
        {"variants.0.stock": 5},
        {"nothing": "whatever"},
        {"updated_at": {"gte": "2026-03-01"}},
    ],
)
def test_filters_on_existing_fields_are_accepted(client: Client, filters: dict[str, Any]) -> None:
    check(client, filters=filters)


def test_a_filter_on_an_unknown_field_is_refused_with_similar_names(client: Client) -> None:
    refused = refusal(client, filters={"color": "Black", "skku": 1, "price": 1})
    assert refused.code == "unknown_field"
    assert [violation.field for violation in refused.violations] == ["filters.color", "filters.skku"]
    assert "attributes.color" in refused.violations[0].message
    assert "sku" in refused.violations[1].message


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"updated_at": {"gte": "2026-13-45"}}, "2026-03-15"),
        ({"price": "cheap"}, "numbers"),
        ({"price": {"contains": "5"}}, "searches text"),
        ({"sku": {"gt": 5}}, "in quotes"),
        ({"attributes": "Black"}, "below"),
        ({"variants.stock": "many"}, "numbers"),
        ({"id": "no id"}, "numbers and ids"),
    ],
)
def test_a_value_that_no_product_can_hold_is_refused(client: Client, filters: dict[str, Any], words: str) -> None:
    refused = refusal(client, filters=filters)
    (violation,) = refused.violations
    assert violation.field == f"filters.{next(iter(filters))}"
    assert words in violation.message


def test_fields_and_types_of_only_the_last_product_are_found(client: Client) -> None:
    check(client, "many", filters={"rare": "n/a"})
    check(client, "many", filters={"price": "on request"})
    check(client, "many", include_fields=["rare"])
    check(client, "many", include_fields=["x\\.y"])
    assert refusal(client, "many", filters={"rarer": 1}).code == "unknown_field"
    assert "in quotes" in refusal(client, "many", filters={"sku": {"gt": 5}}).violations[0].message


def test_included_fields_are_refused_only_if_none_of_them_exists(client: Client) -> None:
    check(client, include_fields=["sku", "colour"])
    check(client, include_fields=["attributes", "colour"])
    check(client, include_fields=["nope", "a\\.b"])
    refused = refusal(client, include_fields=["colour", "skuu"])
    assert [violation.field for violation in refused.violations] == ["include_fields", "include_fields"]
    assert "no product has the field 'colour'" in refused.violations[0].message
    assert "sku" in refused.violations[1].message


@pytest.mark.parametrize("name", ["$where", "a..b", "a\0b", "a\\.c", ".".join("a" * 400), "x" * 1_000])
def test_a_name_that_is_not_a_path_is_an_unknown_field(client: Client, name: str) -> None:
    refused = refusal(client, include_fields=[name])
    assert refused.code == "unknown_field"
    assert len(refused.violations[0].message) < 300
    check(client, include_fields=[name, "sku"])


def test_thousands_of_unknown_fields_get_a_short_answer(client: Client) -> None:
    known = tuple(f"attributes.some_long_name_{n}.fr_FR.print" for n in range(20_000))
    asked = time.process_time()
    names = [f"attributes.some_name_{n}" for n in range(5_000)]
    refused = refusal(client, known=known, include_fields=names, seconds=SAMPLE_SECONDS)
    assert len(refused.violations) == 11
    assert "4,990 more" in refused.violations[-1].message
    assert time.process_time() - asked < 10


def test_a_field_known_from_earlier_exports_is_not_checked_again(client: Client) -> None:
    check(client, known=("colour.name",), filters={"colour": "Black"})
    check(client, known=("colour.name",), include_fields=["colour"])


@pytest.mark.parametrize("seconds", [0, 0.002])
def test_fields_that_cannot_be_checked_in_time_are_accepted(client: Client, seconds: float) -> None:
    options: dict[str, Any] = {"filters": {"rarer": 1, "sku": {"gt": 5}}, "include_fields": ["no", "nope"]}
    refusal(client, "many", **options)
    check(client, "many", **options, seconds=seconds)


def test_a_request_without_names_costs_no_query(client: Client, mongo_uri: str) -> None:
    commands = Commands()
    with Client(mongo_uri, event_listeners=[commands]) as watched:
        check(watched, exclude_fields=["whatever"])
        assert commands.names == ["listCollections"]
        check(watched, filters={"sku": "A"})
        assert "find" in commands.names


def test_a_tenant_without_a_catalogue_is_refused(client: Client) -> None:
    assert refusal(client, "nobody").code == "catalogue_missing"


def test_a_catalogue_that_does_not_answer_is_unavailable() -> None:
    with Client("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50) as absent, pytest.raises(Unavailable):
        check(absent, filters={"sku": "A"})
