"""The OpenAPI document: valid, complete, and in agreement with real bodies and responses."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.rest import Rest
from tests.system import System, eventually

# Promised to REST users.
PROMISED = {
    *(f"POST /api/v1/exports/{form}/products" for form in ("csv", "json", "excel", "zip")),
    "GET /api/v1/exports/jobs",
    "GET /api/v1/exports/jobs/{job_id}",
    "DELETE /api/v1/exports/jobs/{job_id}",
    "POST /api/v1/exports/jobs/{job_id}/cancel",
    "POST /api/v1/exports/jobs/{job_id}/retry",
    "GET /api/v1/exports/jobs/{job_id}/download",
    "HEAD /api/v1/exports/jobs/{job_id}/download",
    *(f"{method} /api/v1/exports/jobs/{{job_id}}/deliveries" for method in ("GET", "POST")),
    *(f"{method} /api/v1/exports/{things}" for method in ("GET", "POST") for things in ("platforms", "schedules")),
    *(f"{method} /api/v1/exports/platforms/{{platform_id}}" for method in ("GET", "PATCH", "DELETE")),
    "POST /api/v1/exports/platforms/{platform_id}/test",
    *(f"{method} /api/v1/exports/schedules/{{schedule_id}}" for method in ("GET", "PATCH", "DELETE")),
    "POST /api/v1/exports/schedules/{schedule_id}/run",
    "GET /api/v1/exports/schedules/{schedule_id}/runs",
    "GET /api/v1/exports/schedules/{schedule_id}/upcoming",
    "POST /api/v1/exports/schedules/preview",
}


@pytest.fixture(scope="module")
def document(system: System) -> dict[str, Any]:
    answer = Rest(system.url, "").call("GET", "/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("openapi", [{"_id": "1", "sku": "A", "price": 52.0}])
    return system.client("openapi")


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def methods_at(document: dict[str, Any], path: str) -> set[str]:
    """The methods of a path, and of paths with an id that it matches: `preview` could be an id, too.

    HEAD works wherever GET does, and is not described again.
    """
    matching = [p for p in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", p), path)]
    methods = {method.upper() for found in matching for method in document["paths"][found]}
    return methods | ({"HEAD"} if "GET" in methods else set())


def model(document: dict[str, Any], name: str) -> Draft202012Validator:
    """Checks values against one of the document's models, and dates and UUIDs as such."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_the_document_has_every_promised_route(document: dict[str, Any]) -> None:
    assert set(operations(document)) >= PROMISED
    identifiers = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(identifiers)) == len(identifiers)


def test_the_document_and_the_server_agree_on_the_methods_of_every_path(
    system: System, document: dict[str, Any]
) -> None:
    anonymous = Rest(system.url, "")
    for path in document["paths"]:
        answer = anonymous.call("TRACE", system.url + path.replace("{", "").replace("}", ""))
        assert answer.status == 405, path
        assert set(answer.headers["allow"].split(",")) == methods_at(document, path), path


def test_every_operation_needs_a_key(system: System, document: dict[str, Any]) -> None:
    anonymous = Rest(system.url, "")
    for name, operation in operations(document).items():
        method, path = name.split()
        answer = anonymous.call(method, system.url + path.replace("{", "").replace("}", ""))
        assert answer.status == 401, name
        assert "401" in operation["responses"]


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("csv", {}),
        ("csv", {"filters": {"price": {"gte": 1}}, "utf8_bom": False, "delimiter": ";", "escape_formulas": True}),
        ("json", {"include_fields": ["sku"], "json_lines": True, "pretty": False, "platform_ids": []}),
        ("excel", {"exclude_fields": ["price"], "include_sheets": ["products"], "formatting": False}),
        ("zip", {"max_rows_per_file": 10, "file_name": "all_{date}"}),
    ],
)
def test_a_body_that_the_document_allows_is_accepted(
    document: dict[str, Any], shop: Rest, form: str, body: dict[str, Any]
) -> None:
    model(document, f"{form.capitalize()}Options").validate(body)
    answer = shop.export(form, body)
    assert answer.status == 202
    model(document, "Accepted").validate(answer.json)
    assert shop.job(answer.json["id"])["options"] == body


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("csv", {"utf8_bomb": True}),
        ("csv", {"delimiter": "x"}),
        ("csv", {"include_fields": []}),
        ("json", {"pretty": "yes"}),
        ("excel", {"include_sheets": ["prices"]}),
        ("zip", {"max_rows_per_file": 0}),
        ("zip", {"file_name": ""}),
    ],
)
def test_a_body_that_the_document_forbids_is_rejected_as_documented(
    document: dict[str, Any], shop: Rest, form: str, body: dict[str, Any]
) -> None:
    assert not model(document, f"{form.capitalize()}Options").is_valid(body)
    answer = shop.export(form, body)
    assert answer.status == 422
    model(document, "Problem").validate(answer.json)


def check_job(document: dict[str, Any], job: dict[str, Any], status: str) -> None:
    assert job["status"] == status
    model(document, "Job").validate(job)
    unknown = set(job) - set(document["components"]["schemas"]["Job"]["properties"])
    assert not unknown


def test_a_job_in_every_status_is_as_documented(system: System, document: dict[str, Any], shop: Rest) -> None:
    completed, _ = shop.file("csv", {"include_fields": ["sku", "colour"]})
    check_job(document, completed, "completed")
    assert completed["warnings"]

    with system.mongo() as mongo:
        past = datetime.now(UTC) - timedelta(seconds=5)
        mongo["exporter"]["jobs"].update_one({"_id": completed["id"]}, {"$set": {"expires_at": past}})
    check_job(document, shop.job(completed["id"]), "expired")

    system.fill("openapi-wide", [{"_id": 1, **{f"c{n}": n for n in range(10_001)}}])
    wide = system.client("openapi-wide")
    check_job(document, wide.ended(wide.export("csv").json["id"]), "failed")

    long = system.client(system.fill_wide())
    job_id = long.export("excel").json["id"]
    eventually("reading", lambda: long.job(job_id)["stage"] == "reading", every=0.01)
    check_job(document, long.job(job_id), "processing")
    check_job(document, long.call("POST", f"/exports/jobs/{job_id}/cancel").json, "cancelled")
    check_job(document, long.call("POST", f"/exports/jobs/{job_id}/retry").json, "processing")
    long.call("POST", f"/exports/jobs/{job_id}/cancel")


def test_a_page_of_jobs_is_as_documented(document: dict[str, Any], shop: Rest) -> None:
    shop.file("csv")
    model(document, "JobPage").validate(shop.call("GET", "/exports/jobs?limit=1").json)
    model(document, "JobPage").validate(shop.call("GET", "/exports/jobs?status=failed").json)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/exports/jobs?limt=1", "GET /api/v1/exports/jobs"),
        ("GET", "/exports/jobs/x", "GET /api/v1/exports/jobs/{job_id}"),
        ("DELETE", "/exports/jobs/x", "DELETE /api/v1/exports/jobs/{job_id}"),
        ("POST", "/exports/jobs/x/retry", "POST /api/v1/exports/jobs/{job_id}/retry"),
        ("GET", "/exports/jobs/x/download", "GET /api/v1/exports/jobs/{job_id}/download"),
        ("GET", "/exports/jobs/x/deliveries", "GET /api/v1/exports/jobs/{job_id}/deliveries"),
        ("GET", "/exports/platforms?limt=1", "GET /api/v1/exports/platforms"),
        ("DELETE", "/exports/platforms/x", "DELETE /api/v1/exports/platforms/{platform_id}"),
        ("POST", "/exports/platforms/x/test", "POST /api/v1/exports/platforms/{platform_id}/test"),
        ("GET", "/exports/schedules/x/runs", "GET /api/v1/exports/schedules/{schedule_id}/runs"),
    ],
)
def test_a_problem_and_its_status_are_documented(
    document: dict[str, Any], shop: Rest, method: str, path: str, operation: str
) -> None:
    answer = shop.call(method, path)
    model(document, "Problem").validate(answer.json)
    assert str(answer.status) in operations(document)[operation]["responses"]
