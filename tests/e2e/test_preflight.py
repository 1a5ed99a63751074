"""A preflight tells what an export would make, with its own code, and stores nothing."""

import time
from typing import Any

import pytest

from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System

TENANT = "preflight"
PRODUCTS = [
    {"_id": f"p{n:04}", "sku": f"A-{n}" if n else None, "price": n, "tags": ["x"] * (n % 3), "name": {"fr_FR": "Œuf"}}
    for n in range(1_500)
]


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill(TENANT, PRODUCTS)
    return system.client(TENANT)


def asked(client: Rest, form: str, options: dict[str, Any]) -> Any:
    """The preflight of a request."""
    started = time.monotonic()
    answer: Answer = client.call("POST", f"/exports/{form}/products/preflight", options)
    assert answer.status == 200, answer.body
    assert time.monotonic() - started < 20
    return answer.json


def test_columns_rows_and_the_first_rows_of_a_file(client: Rest) -> None:
    columns = ["id", {"header": "Prix", "field": "price", "number": {"decimals": 2}}]
    found = asked(client, "csv", {"columns": columns, "order_by": ["id"]})
    assert (found["problems"], found["warnings"], found["columns"]) == ([], [], ["id", "Prix"])
    assert (found["rows"], found["is_estimate"]) == (1_500, True)
    assert found["sample"].split("\r\n")[:3] == ["id,Prix", "p0000,0.00", "p0001,1.00"]
    assert len(found["sample"].split("\r\n")) == 22
    # A file like that tells how long the next one will take.
    done = client.ended(client.export("csv", {"columns": columns, "platform_ids": []}).json["id"])
    later = asked(client, "csv", {"columns": columns})
    assert later["seconds"] > 0
    assert abs(later["size_bytes"] - done["file_size"]) < 0.1 * done["file_size"]


def test_the_rows_of_filters_are_counted(client: Rest) -> None:
    found = asked(client, "json", {"filters": {"price": {"gte": 100}}, "json_lines": True, "locales": ["fr_FR"]})
    assert (found["rows"], found["is_estimate"]) == (1_400, False)
    assert "columns" not in found
    assert found["sample"].startswith('{"id":"p0100","sku":"A-100","price":100,"tags":["x"],"name":"Œuf"}\n')
    small = asked(
        client, "excel", {"filters": {"price": {"lt": 3}}, "explode": "tags", "include_fields": ["id", "tags"]}
    )
    assert (small["rows"], small["is_estimate"]) == (4, False)
    assert small["sample"] == "id,tags\r\np0000,\r\np0001,x\r\np0002,x\r\np0002,x\r\n"


def test_rows_that_would_be_left_out_are_told_before(client: Rest) -> None:
    columns = [{"header": "sku", "field": "sku", "if_missing": "skip_row"}]
    found = asked(client, "zip", {"columns": columns})
    assert [one["code"] for one in found["warnings"]] == ["rows_skipped"]
    assert found["is_estimate"]
    failing = asked(client, "csv", {"columns": [{**columns[0], "if_missing": "fail"}]})
    [one] = failing["problems"]
    assert one["field"] == "columns[0].if_missing"
    assert "'p0000'" in one["message"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"columns": [{"header": "a", "field": "skuu"}]}, "columns[0].field"),
        ({"filters": {"price": {"gte": "x"}}}, "filters.price"),
        ({"platform_ids": ["1b671a64-40d5-491e-99b0-da01ff1f3341"]}, "platform_ids[0]"),
    ],
)
def test_what_would_be_refused_is_a_problem_of_the_preflight(client: Rest, options: dict[str, Any], field: str) -> None:
    assert [one["field"] for one in asked(client, "csv", options)["problems"]] == [field]
    assert [one["field"] for one in client.export("csv", options).json["errors"]] == [field]


def test_a_profile_is_previewed_with_what_replaces_its_options(client: Rest) -> None:
    made = client.call("POST", "/exports/profiles", {"name": "P", "format": "csv", "options": {"columns": ["id"]}})
    path = f"/exports/profiles/{made.json['id']}/preflight"
    found = client.call("POST", path, {"options": {"columns": ["sku"], "limit": 7}})
    assert (found.json["columns"], found.json["rows"]) == (["sku"], 7)
    assert client.call("POST", path, {}).json["columns"] == ["id"]
    problem(client.call("POST", path, {"options": {"limit": -1}}), 422, "invalid_request", "options.limit")
    missing = "/exports/profiles/1b671a64-40d5-491e-99b0-da01ff1f3341/preflight"
    problem(client.call("POST", missing, {}), 404, "profile_not_found")


def test_a_preflight_is_refused_like_an_export(client: Rest) -> None:
    problem(client.call("POST", "/exports/pdf/products/preflight", {}), 404, "unknown_format")
    problem(client.call("POST", "/exports/csv/products/preflight", raw=b"{"), 400, "not_json")
    problem(client.call("POST", "/exports/csv/products/preflight", {"unknown": 1}), 422, "invalid_request", "unknown")
