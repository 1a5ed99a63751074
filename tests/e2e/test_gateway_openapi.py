"""The OpenAPI document: valid, complete, and in agreement with real bodies and responses."""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway.http.openapi.examples import PLATFORM_ID
from tests.rest import Rest
from tests.system import ROOT, System, eventually

# Promised to REST users.
PROMISED = {
    *(f"POST /api/v1/exports/{form}/products" for form in ("csv", "json", "excel", "zip", "xml", "parquet")),
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
    return model_of(document, {"$ref": f"#/components/schemas/{name}"})


def model_of(document: dict[str, Any], part: dict[str, Any]) -> Draft202012Validator:
    schema = {**part, "components": document["components"]}
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


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a part of the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from schemas_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas_in(inner)


def test_operations_have_names_that_read_well_and_a_described_tag(document: dict[str, Any]) -> None:
    found = {operation["operationId"] for operation in operations(document).values()}
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)+", name) for name in found)
    assert found >= {"createCsvExport", "getJob", "downloadFile", "createPlatform", "testPlatform", "updateSchedule"}
    tags = {tag["name"]: tag.get("description") for tag in document["tags"]}
    assert {tag for operation in operations(document).values() for tag in operation["tags"]} == set(tags)
    assert all(tags.values())


def test_only_what_may_be_null_is_described_as_null(document: dict[str, Any]) -> None:
    nullable = set()
    for name, schema in document["components"]["schemas"].items():
        for inner in schemas_in(schema):
            assert "default" not in inner.get("properties", {}).values()
            assert not ("default" in inner and inner["default"] is None), name
            if "null" in inner.get("type", ()) or {"type": "null"} in inner.get("anyOf", ()):
                nullable.add(name)
    pages = {name for name in nullable if name.endswith("Page")}
    assert {name for name in nullable - pages if not name.endswith(("ConfigChange", "OptionsChange"))} == {
        "FilterValue"
    }
    text = json.dumps(document)
    assert "x-name-of" not in text
    assert "x-settings-of" not in text


def test_formats_and_types_of_platforms_are_enumerations_with_a_schema_for_each(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Format"]["enum"] == ["csv", "excel", "json", "parquet", "xml", "zip"]
    assert set(schemas["PlatformType"]["enum"]) == {"ftp", "gdrive", "minio", "s3", "sftp"}
    assert len(schemas["Schedule"]["oneOf"]) == 7, "one for each format, and one for profiles"
    for name, count in (("NewPlatform", 5), ("Platform", 5), ("NewProfile", 6), ("Profile", 6)):
        assert len(schemas[name]["oneOf"]) == count
        assert set(schemas[name]["discriminator"]["mapping"].values()) == {
            one["$ref"] for one in schemas[name]["oneOf"]
        }
    platform = {"name": "A", "platform_type": "s3", "config": {"host": "ftp.example.com", "username": "u"}}
    assert not model(document, "NewPlatform").is_valid(platform)
    schedule = {"platform_id": str(uuid.uuid4()), "schedule_name": "A", "cron_expression": "@daily"}
    for more, is_valid in (
        ({}, True),
        ({"options": {"delimiter": ";"}}, True),
        ({"format": "json", "options": {"delimiter": ";"}}, False),
        ({"format": "json", "options": {"pretty": False}}, True),
        ({"options": {"platform_ids": []}}, False),
        ({"profile_id": str(uuid.uuid4())}, True),
        ({"profile_id": str(uuid.uuid4()), "format": "csv"}, False),
        ({"profile_id": str(uuid.uuid4()), "options": {}}, False),
    ):
        assert model(document, "NewSchedule").is_valid({**schedule, **more}) is is_valid, more


def test_downloads_are_binary_with_the_media_types_of_all_formats(document: dict[str, Any], shop: Rest) -> None:
    content = operations(document)["GET /api/v1/exports/jobs/{job_id}/download"]["responses"]["200"]["content"]
    for form, options in (
        ("csv", {}),
        ("json", {}),
        ("json", {"json_lines": True}),
        ("excel", {}),
        ("zip", {}),
        ("xml", {}),
    ):
        job, _ = shop.file(form, options)
        found = shop.download(job["id"])
        assert found.headers["content-type"].partition(";")[0] in content
        opaque = shop.download(job["id"], Accept="application/octet-stream")
        assert opaque.headers["content-type"] == "application/octet-stream"
        assert opaque.body == found.body
        mixed = shop.download(job["id"], Accept="application/octet-stream, */*;q=0.1")
        assert mixed.headers["content-type"] == found.headers["content-type"]
    assert all(one["schema"] == {"type": "string", "format": "binary"} for one in content.values())


def test_the_examples_of_answers_are_as_documented(document: dict[str, Any]) -> None:
    examples = {name: one["examples"] for name, one in document["components"]["schemas"].items() if "examples" in one}
    assert set(examples) >= {"Accepted", "Job", "SftpPlatform", "CsvSchedule"}
    for name, [example] in examples.items():
        model(document, name).validate(example)
    page = (ROOT / "docs" / "api.md").read_text()
    for response in document["components"]["responses"].values():
        [content] = response["content"].values()
        if example := content.get("example"):
            model(document, "Problem").validate(example)
            assert re.search(rf"^\| {example['status']} \| [^|]*`{example['code']}`", page, re.MULTILINE), example


def test_the_requests_to_webhooks_are_described(document: dict[str, Any]) -> None:
    callbacks = operations(document)["POST /api/v1/webhooks"]["callbacks"]
    operation = callbacks["event"]["{$request.body#/url}"]["post"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    [content] = operation["requestBody"]["content"].values()
    page = (ROOT / "docs" / "webhooks.md").read_text()
    [shown] = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    model_of(document, content["schema"]).validate(json.loads(shown))
    fields = document["components"]["schemas"]["EventData"]["properties"]
    rows = re.findall(r"^\| `(?:export|delivery|schedule)\.\w+` \| .* \| (.*) \|$", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(fields)


def test_what_a_post_makes_is_linked_to_what_reads_it(document: dict[str, Any]) -> None:
    links = {
        name: set(response.get("links", ()))
        for name, operation in operations(document).items()
        for status, response in operation["responses"].items()
        if status.startswith("2") and name.startswith("POST")
    }
    assert links["POST /api/v1/exports/csv/products"] >= {"getJob", "followJob", "downloadFile", "listJobDeliveries"}
    assert links["POST /api/v1/exports/platforms"] == {
        "getPlatform",
        "testPlatform",
        "updatePlatform",
        "deletePlatform",
    }
    assert links["POST /api/v1/exports/schedules"] >= {"getSchedule", "listRuns", "listUpcomingTimes", "runSchedule"}
    assert links["POST /api/v1/exports/schedules/{schedule_id}/run"] >= {"getJob", "getSchedule", "listRuns"}


def test_the_examples_work_on_the_catalogue_of_the_readme(system: System, document: dict[str, Any]) -> None:
    shown = re.search(r"^\$ cat > products.jsonl <<'END'\n(.*?)^END$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert shown
    system.fill("openapi-readme", [{"_id": one.pop("id"), **one} for one in map(json.loads, shown[1].splitlines())])
    reader = system.client("openapi-readme")
    made: dict[str, str] = {}
    tried = 0
    for name, operation in operations(document).items():
        if "application/json" not in operation.get("requestBody", {"content": {}})["content"]:
            continue
        [content] = operation["requestBody"]["content"].values()
        assert content["examples"], name
        method, path = name.split()
        path = re.sub(r"\{(\w+)_id\}", lambda found: made[found[1]], path)
        for example in content["examples"].values():
            body = json.loads(json.dumps(example["value"]).replace(PLATFORM_ID, made.get("platform", "")))
            model_of(document, content["schema"]).validate(body)
            answer = reader.call(method, system.url + path, body)
            assert answer.status in (200, 201, 202), (name, example, answer)
            kind = next((one for one in ("profile", "platform", "schedule", "webhook") if f"/{one}s" in path), "")
            if kind:
                if method == "POST" and path.endswith(f"/{kind}s"):
                    made[kind] = answer.json["id"]
            elif path.endswith("/products"):
                made["job"] = reader.ended(answer.json["id"])["id"]
            tried += 1
    assert tried > 15


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("csv", {}),
        ("csv", {"filters": {"price": {"gte": 1}}, "utf8_bom": False, "delimiter": ";", "escape_formulas": True}),
        ("json", {"include_fields": ["sku"], "json_lines": True, "pretty": False, "platform_ids": []}),
        ("excel", {"exclude_fields": ["price"], "include_sheets": ["products"], "formatting": False}),
        ("zip", {"max_rows_per_file": 10, "file_name": "all_{date}"}),
        ("csv", {"compression": "gzip"}),
        (
            "xml",
            {"root": "g:feed", "row": "item", "style": "attributes", "namespaces": {"g": "urn:g"}, "cdata": ["sku"]},
        ),
        ("parquet", {"include_fields": ["sku"]}),
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
        ("zip", {"compression": "gzip"}),
        ("xml", {"compression": "bzip2"}),
        ("xml", {"namespaces": {"a b": "urn:x"}}),
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
