"""Exports over REST, from the request to the file, with a real gateway, exporter, JetStream and MongoDB."""

import csv
import gzip
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
import zstandard
from bson import Decimal128, Int64

from tests.rest import Rest
from tests.system import WIDE, System, eventually

FORMATS = ("csv", "json", "excel", "zip", "xml", "parquet")
AT = datetime(2026, 3, 15, 9, 0, tzinfo=UTC)
SHOP: list[dict[str, Any]] = [
    {"_id": "1", "sku": "A", "ean": "0012345678905", "price": 52.0, "attributes": {"color": "Black", "size": "XS"}},
    {"_id": "2", "sku": "B", "cost": Decimal128("12.10"), "tags": ["a", "b"], "updated_at": AT, "active": True},
    {"_id": "3", "sku": "C", "name": 'say "hi"\r\nthere; ümläut 🎉, =1+1', "big": Int64(2**62), "tags": ["a|b"]},
]


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("shop", SHOP)
    system.fill("shop", [{"_id": "s1", "name": "Supplier"}], "suppliers")
    return system.client("shop")


def rows(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline="")))


def test_the_response_to_a_request_is_as_documented(shop: Rest) -> None:
    answer = shop.export("csv")
    assert answer.status == 202
    assert answer.headers["location"].endswith(f"/exports/jobs/{answer.json['id']}")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json["status"] == "processing"
    assert answer.json["format"] == "csv"
    assert datetime.fromisoformat(answer.json["created_at"]).tzinfo is not None


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_completes_with_size_hash_and_counts(shop: Rest, form: str) -> None:
    job, file = shop.file(form)
    assert job["total_records"] == 3
    assert job["records"] == {"products": 3}
    assert job["file_size"] == len(file)
    assert job["sha256"] == hashlib.sha256(file).hexdigest()
    assert job["file_name"]
    assert job["warnings"] == []


def test_a_csv_has_every_value_and_every_column(shop: Rest) -> None:
    _, file = shop.file("csv")
    assert file.startswith(b"\xef\xbb\xbf")
    first, second, third = rows(file)
    assert next(iter(first)) == "id"
    assert first["ean"] == "0012345678905"
    assert first["price"] == "52.0"
    assert first["attributes.color"] == "Black"
    assert second["cost"] == "12.10"
    assert second["tags"] == "a|b"
    assert second["updated_at"] == "2026-03-15T09:00:00Z"
    assert second["active"] == "true"
    assert third["name"] == 'say "hi"\r\nthere; ümläut 🎉, =1+1'
    assert third["big"] == str(2**62)
    assert third["tags"] == '["a|b"]'
    assert third["price"] == ""


def test_json_keeps_nesting_types_and_digits(shop: Rest) -> None:
    _, file = shop.file("json")
    first, second, third = json.loads(file, parse_float=Decimal)
    assert first["attributes"] == {"color": "Black", "size": "XS"}
    assert str(second["cost"]) == "12.10"
    assert second["tags"] == ["a", "b"]
    assert third["big"] == 2**62
    _, lines = shop.file("json", {"json_lines": True})
    assert [json.loads(line)["id"] for line in lines.splitlines()] == ["1", "2", "3"]


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
def test_a_compressed_file_says_so_and_is_not_compressed_again(shop: Rest, compression: str, suffix: str) -> None:
    _, plain = shop.file("csv")
    job, file = shop.file("csv", {"compression": compression, "file_name": "feed.csv"})
    assert job["file_name"] == f"feed.csv{suffix}"
    assert (job["file_size"], job["sha256"]) == (len(file), hashlib.sha256(file).hexdigest())
    assert job["records"] == {"products": 3}
    download = shop.download(job["id"], **{"Accept-Encoding": "gzip, zstd"})
    assert download.headers["content-type"] == f"application/{compression}"
    assert "content-encoding" not in download.headers
    assert download.body == file
    unpacked = (
        gzip.decompress(file) if suffix == ".gz" else zstandard.ZstdDecompressor().decompressobj().decompress(file)
    )
    assert unpacked == plain


def test_excel_keeps_text_as_text_and_has_both_sheets(shop: Rest) -> None:
    job, file = shop.file("excel", {"include_sheets": ["products", "suppliers"]})
    assert job["records"] == {"products": 3, "suppliers": 1}
    assert job["total_records"] == 4
    book = openpyxl.load_workbook(io.BytesIO(file))
    assert book.sheetnames == ["products", "suppliers"]
    header, *cells = book["products"].iter_rows(values_only=True)
    assert dict(zip(header, cells[0], strict=True))["ean"] == "0012345678905"
    assert dict(zip(header, cells[1], strict=True))["updated_at"] == AT.replace(tzinfo=None)


def test_each_part_of_a_zip_has_a_header(shop: Rest) -> None:
    _, file = shop.file("zip", {"max_rows_per_file": 2})
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.namelist() == ["products_0001.csv", "products_0002.csv"]
        parts = [rows(archive.read(name)) for name in archive.namelist()]
    assert [len(part) for part in parts] == [2, 1]
    assert list(parts[0][0]) == list(parts[1][0])


def test_included_fields_keep_their_order(shop: Rest) -> None:
    _, file = shop.file("csv", {"include_fields": ["sku", "attributes", "id"]})
    assert list(rows(file)[0]) == ["sku", "attributes.color", "attributes.size", "id"]
    _, file = shop.file("csv", {"exclude_fields": ["attributes", "id"]})
    assert not {"id", "attributes.color"} & set(rows(file)[0])


def test_an_included_field_that_no_product_has_is_an_empty_column_with_a_warning(shop: Rest) -> None:
    job, file = shop.file("csv", {"include_fields": ["sku", "colour"]})
    assert list(rows(file)[0]) == ["sku", "colour"]
    assert [warning["code"] for warning in job["warnings"]] == ["unknown_field"]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"sku": "B"}, ["2"]),
        ({"price": {"gte": 52}}, ["1"]),
        ({"cost": {"lt": 12.2}}, ["2"]),
        ({"updated_at": {"gte": "2026-03-01"}}, ["2"]),
        ({"tags": {"contains": "|"}}, ["3"]),
        ({"id": {"in": ["1", "3"]}}, ["1", "3"]),
        ({"price": {"exists": False}}, ["2", "3"]),
        ({"attributes.color": {"starts_with": "Bl"}}, ["1"]),
    ],
)
def test_filters_select_products(shop: Rest, filters: dict[str, Any], ids: list[str]) -> None:
    _, file = shop.file("csv", {"filters": filters})
    assert [row["id"] for row in rows(file)] == ids


@pytest.mark.parametrize(
    ("form", "body", "field", "words"),
    [
        ("csv", {"utf8_bomb": True}, "utf8_bomb", "not an option"),
        ("csv", {"utf8_bom": "yes"}, "utf8_bom", "true or false"),
        ("csv", {"include_fields": []}, "include_fields", "at least 1"),
        ("csv", {"include_fields": ["nope", "none"]}, "include_fields", "no product has"),
        ("csv", {"include_fields": ["sku", "sku"]}, "", "more than once"),
        ("csv", {"include_fields": ["sku"], "exclude_fields": ["ean"]}, "", "not both"),
        ("csv", {"delimiter": "x"}, "delimiter", ""),
        ("csv", {"file_name": "a\r\nX-Evil: 1"}, "file_name", "character"),
        ("zip", {"max_rows_per_file": 0}, "max_rows_per_file", ""),
        ("zip", {"max_rows_per_file": -5}, "max_rows_per_file", ""),
        ("zip", {"max_rows_per_file": 10**9}, "max_rows_per_file", ""),
        *((form, {"compression": "gzip"}, "compression", "compressed already") for form in ("excel", "zip", "parquet")),
        ("excel", {"include_sheets": []}, "include_sheets", ""),
        ("excel", {"include_sheets": ["prices"]}, "include_sheets", "suppliers"),
        ("csv", {"filters": {"$where": "1"}}, "filters", "$"),
        ("csv", {"filters": {"price": {"$gt": 1}}}, "filters.price", "gt"),
        ("csv", {"filters": {"price": {"a": {"b": {"c": 1}}}}}, "filters.price", ""),
        ("csv", {"filters": {"sku": {"in": ["x"] * 10_000}}}, "filters.sku", "1,000"),
        ("csv", {"filters": {"updated_at": {"gte": "2026-13-45"}}}, "filters.updated_at", "2026-03-15"),
        ("csv", {"filters": {"colour": "Black"}}, "filters.colour", "no product has"),
        ("csv", {"platform_ids": ["x"]}, "platform_ids", "UUID"),
    ],
)
def test_an_invalid_request_is_rejected_with_field_and_reason(
    shop: Rest, form: str, body: dict[str, Any], field: str, words: str
) -> None:
    answer = shop.export(form, body)
    assert answer.status == 422, answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json
    assert any(e["field"].startswith(field) and words.lower() in e["message"].lower() for e in problem["errors"]), (
        problem
    )


def test_regex_characters_have_no_special_meaning(shop: Rest) -> None:
    job, _ = shop.file("csv", {"filters": {"sku": {"contains": ".*"}}})
    assert job["total_records"] == 0
    assert [warning["code"] for warning in job["warnings"]] == ["no_match"]


def test_an_export_without_a_catalogue_is_rejected(system: System) -> None:
    answer = system.client("nobody").export("csv")
    assert answer.status == 422
    assert answer.json["code"] == "catalogue_missing"


def test_another_tenants_job_is_not_found(system: System, shop: Rest) -> None:
    job, _ = shop.file("csv")
    other = system.client("other")
    for method, path in [("GET", ""), ("GET", "/download"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]:
        assert other.call(method, f"/exports/jobs/{job['id']}{path}").status == 404


def test_the_same_key_and_body_return_the_same_job_and_another_body_is_rejected(shop: Rest) -> None:
    first = shop.export("csv", {"utf8_bom": False}, key="k1")
    assert shop.export("csv", {"utf8_bom": False}, key="k1").json["id"] == first.json["id"]
    other = shop.export("csv", {"utf8_bom": True}, key="k1")
    assert other.status == 422
    assert other.json["code"] == "idempotency_key_reused"


def test_a_signed_link_works_without_a_key_and_not_when_changed(system: System, shop: Rest) -> None:
    job, file = shop.file("csv")
    anonymous = Rest(system.url, "")
    assert anonymous.call("GET", job["file_url"]).body == file
    assert anonymous.call("GET", job["file_url"][:-1] + "x").status in (401, 403)
    assert anonymous.call("GET", f"/exports/jobs/{job['id']}/download").status == 401


def test_ranges_and_head_describe_the_same_file(shop: Rest) -> None:
    job, file = shop.file("csv")
    path = f"/exports/jobs/{job['id']}/download"
    head = shop.call("HEAD", path)
    assert int(head.headers["content-length"]) == len(file)
    assert head.headers["etag"] == f'"{job["sha256"]}"'
    part = shop.download(job["id"], Range="bytes=3-9")
    assert (part.status, part.body) == (206, file[3:10])
    assert shop.download(job["id"], Range=f"bytes={len(file)}-").status == 416
    assert shop.download(job["id"], Range="bytes=0-1,4-5").status == 416


def test_a_job_can_be_listed_and_deleted(shop: Rest, system: System) -> None:
    job, _ = shop.file("json")
    listed = shop.call("GET", "/exports/jobs?limit=1").json
    assert listed["items"][0]["id"] == job["id"]
    assert listed["next_cursor"]
    following = shop.call("GET", f"/exports/jobs?limit=1&cursor={listed['next_cursor']}").json
    assert following["items"][0]["id"] != job["id"]
    assert shop.call("DELETE", f"/exports/jobs/{job['id']}").status == 204
    assert shop.call("GET", f"/exports/jobs/{job['id']}").status == 404
    assert not list((system.folder / "artifacts" / "shop" / job["id"]).rglob("*.json"))


def test_a_running_export_is_cancelled(system: System) -> None:
    client = system.client(system.fill_wide())
    job_id = client.export("excel").json["id"]
    eventually("reading", lambda: client.job(job_id)["stage"] == "reading", every=0.01)
    assert client.call("POST", f"/exports/jobs/{job_id}/cancel").json["status"] == "cancelled"
    eventually("the worker stopped", lambda: "fenced" in system.exporter.output)
    assert client.download(job_id).status == 409
    assert client.call("POST", f"/exports/jobs/{job_id}/cancel").status == 409
    assert client.call("POST", f"/exports/jobs/{job_id}/retry").status == 202
    assert client.ended(job_id)["total_records"] == WIDE


def test_a_column_that_first_appears_late_is_included_and_the_next_export_has_the_same_order(system: System) -> None:
    system.fill("late", [{"_id": n, "sku": str(n)} for n in range(5_000)])
    client = system.client("late")
    client.file("csv")
    system.fill("late", [{"_id": 6_000, "brand_new": "yes", "sku": "z"}])
    _, file = client.file("csv")
    assert list(rows(file)[0]) == ["id", "sku", "brand_new"]
    assert rows(file)[-1] == {"id": "6000", "sku": "z", "brand_new": "yes"}
    _, again = client.file("csv")
    assert again == file


def test_a_column_that_no_product_has_any_more_is_not_exported(system: System) -> None:
    system.fill("ghost", [{"_id": 1, "sku": "a", "old": 1}, {"_id": 2, "sku": "b"}])
    client = system.client("ghost")
    client.file("csv")
    with system.mongo() as mongo:
        mongo["catalogue_ghost"]["products"].delete_one({"_id": 1})
    _, file = client.file("csv")
    assert list(rows(file)[0]) == ["id", "sku"]
