"""Invalid paths, methods, ids and queries, and the headers of every response."""

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("paths", [{"_id": "1", "sku": "A"}])
    client = system.client("paths")
    client.file("csv")
    return client


def raw(client: Rest, path: str, *headers: tuple[str, bytes]) -> Answer:
    """A request with headers that a client library would not send."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Authorization", f"Bearer {client.key}")
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    with connection.getresponse() as response:
        found = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    connection.close()
    return found


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/api/v2/exports/jobs", "/api/v1/exports/jobs/"])
def test_an_unknown_path_is_not_found(system: System, path: str) -> None:
    problem(Rest(system.url, "").call("GET", f"{system.url}{path}"), 404, "not_found", words="/docs")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/exports/jobs", {"GET", "HEAD"}),
        ("PATCH", "/exports/jobs/x", {"GET", "HEAD", "DELETE"}),
        ("GET", "/exports/csv/products", {"POST"}),
        ("DELETE", "/exports/jobs/x/download", {"GET", "HEAD"}),
        ("GET", "/exports/jobs/x/cancel", {"POST"}),
    ],
)
def test_a_method_that_is_not_allowed_is_rejected_with_those_that_are(
    shop: Rest, method: str, path: str, allowed: set[str]
) -> None:
    answer = shop.call(method, path)
    words = f"Allowed methods: {', '.join(sorted(allowed))}."
    problem(answer, 405, "method_not_allowed", words=words)
    assert set(answer.headers["allow"].split(",")) == allowed


@pytest.mark.parametrize("path", ["/exports/jobs", "/exports/jobs/{id}", "/exports/jobs/{id}/events", "/limits"])
def test_head_is_answered_like_get_without_the_body(shop: Rest, path: str) -> None:
    path = path.format(id=shop.call("GET", "/exports/jobs?limit=1").json["items"][0]["id"])
    got, head = shop.call("GET", path), shop.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize("path", ["/exports/jobs", "/exports/jobs/x", "/limits", "/nowhere"])
def test_a_body_of_json_ends_with_a_newline(shop: Rest, path: str) -> None:
    assert shop.call("GET", path).body.endswith(b"}\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/exports/jobs/00000000-0000-4000-8000-000000000000"),
        ("DELETE", "/exports/jobs/00000000-0000-4000-8000-000000000000"),
        ("POST", "/exports/csv/products"),
        ("GET", "/limits"),
    ],
)
def test_an_unknown_parameter_is_rejected_by_every_route(shop: Rest, method: str, path: str) -> None:
    answer = shop.call(method, f"{path}?dry_run=true")
    problem(answer, 422, "invalid_query", field="dry_run", words="not a parameter")


@pytest.mark.parametrize("name", ["pdf", "CSV", "c%0d%0asv", "%ff", "%ED%A0%80", "a" * 2_000])
def test_an_unknown_format_is_rejected_with_the_list_of_formats(shop: Rest, name: str) -> None:
    problem(
        shop.call("POST", f"/exports/{name}/products", {}),
        404,
        "unknown_format",
        words="csv, excel, json, parquet, xml, zip",
    )


@pytest.mark.parametrize(
    "job_id",
    [
        "1",
        "not-a-uuid",
        "%00",
        "%ff",
        "..%2f..",
        "urn:uuid:00000000-0000-4000-8000-000000000000",
        "0" * 32,
        "a" * 5_000,
    ],
)
@pytest.mark.parametrize(("method", "more"), [("GET", ""), ("GET", "/download"), ("POST", "/cancel"), ("DELETE", "")])
def test_an_id_that_is_not_a_uuid_is_not_found(shop: Rest, job_id: str, method: str, more: str) -> None:
    problem(shop.call(method, f"/exports/jobs/{job_id}{more}"), 404, "job_not_found", words="UUID")


def test_ids_are_case_insensitive(shop: Rest) -> None:
    job_id = shop.call("GET", "/exports/jobs?limit=1").json["items"][0]["id"]
    assert shop.job(job_id.upper())["id"] == job_id


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("limt=5", "limt", "created_after, created_before, cursor, format, limit, profile, schedule, sort, status"),
        ("Limit=5", "Limit", "not a parameter"),
        ("limit=5&limit=6", "limit", "more than once"),
        *(
            (f"limit={value}", "limit", "1 to 200")
            for value in ("0", "-1", "201", "1.5", "ten", "", "%D9%A3", "9" * 50)
        ),
        ("status=done", "status", "cancelled, completed, expired, failed, processing"),
        ("status=", "status", "completed"),
        ("schedule=nightly", "schedule", "UUID"),
        ("schedule=", "schedule", "UUID"),
    ],
)
def test_an_invalid_query_parameter_is_named(shop: Rest, query: str, name: str, words: str) -> None:
    problem(shop.call("GET", f"/exports/jobs?{query}"), 422, "invalid_query", field=name, words=words)


@pytest.mark.parametrize("name", ["xls", "CSV", "%ff"])
def test_a_list_of_an_unknown_format_is_rejected(shop: Rest, name: str) -> None:
    answer = shop.call("GET", f"/exports/jobs?format={name}")
    problem(answer, 422, "invalid_request", field="format", words="csv, excel, json, parquet, xml, zip")


@pytest.mark.parametrize("cursor", ["x", "%00", "%ff", "bm90IGEgY3Vyc29y", "a" * 3_000])
def test_an_invalid_cursor_is_rejected(shop: Rest, cursor: str) -> None:
    problem(shop.call("GET", f"/exports/jobs?cursor={cursor}"), 422, "invalid_request", field="cursor")


@pytest.mark.parametrize("given", ["a", "order-4711", "A.b_c:d", "x" * 128])
@pytest.mark.parametrize("path", ["/exports/jobs", "/exports/jobs/x", "/nowhere"])
def test_a_request_id_is_returned_in_every_response(shop: Rest, given: str, path: str) -> None:
    assert shop.call("GET", path, headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"a\xff", b'"', b"a;b"])
def test_an_invalid_request_id_is_replaced(shop: Rest, given: bytes) -> None:
    answer = raw(shop, "/api/v1/exports/jobs", ("Host", b"x"), ("X-Request-Id", given))
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_request_id_is_in_the_exporters_log(system: System, shop: Rest) -> None:
    accepted = shop.call("POST", "/exports/csv/products", {}, headers={"X-Request-Id": "find-me-4711"}).json
    lines = [json.loads(line) for line in system.exporter.output.splitlines() if "find-me-4711" in line]
    assert ("job_accepted", accepted["id"]) in {(line["event"], line.get("job_id")) for line in lines}


@pytest.mark.parametrize(
    "host", [b"", b"two words", b"[", b"a:b:c", b"x:999999", b"x/?a=", b"\xc3\xb6.de", b"x\xff", b'x"']
)
def test_an_invalid_host_is_rejected_because_links_contain_it(shop: Rest, host: bytes) -> None:
    problem(raw(shop, "/api/v1/exports/jobs", ("Host", host)), 400, "bad_host")


@pytest.mark.parametrize("host", ["exports.example.com", "gateway_1:8080", "[::1]:80", "10.0.0.1"])
def test_links_contain_the_requested_host(shop: Rest, host: str) -> None:
    answer = raw(shop, "/api/v1/exports/jobs?status=completed", ("Host", host.encode()))
    urls = [job["file_url"] for job in answer.json["items"]]
    assert urls
    assert all(url.startswith(f"http://{host}/api/v1/exports/jobs/") for url in urls)


def test_no_response_reveals_the_software_or_its_version(shop: Rest) -> None:
    assert {shop.call("GET", path).headers["server"] for path in ("/exports/jobs", "/nowhere")} == {"catalog-exports"}
