"""Profiles over REST: saved exports with versions, the exports that are made with them, and what is rejected."""

import io
from typing import Any

import openpyxl
import pytest

from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System, eventually

TENANT = "profiles"
SOME_ID = "11111111-2222-4333-8444-555555555555"
ALL = "/exports/profiles"
PRICES = {"include_fields": ["sku", "price"], "utf8_bom": False}


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    """A client of a tenant with a small catalogue."""
    system.fill(TENANT, [{"_id": f"p{n}", "sku": f"S-{n}", "price": n / 4} for n in range(4)])
    return system.client(TENANT)


def create(client: Rest, **fields: Any) -> Answer:
    return client.call("POST", ALL, {"name": "Prices", "format": "csv", "options": PRICES, **fields})


def created(client: Rest, **fields: Any) -> Any:
    answer = create(client, **fields)
    assert answer.status == 201, answer
    return answer.json


def change(client: Rest, profile: Any, **fields: Any) -> Any:
    answer = client.call("PATCH", f"{ALL}/{profile['id']}", fields)
    assert answer.status == 200, answer
    return answer.json


def run(client: Rest, profile: Any, body: object = None, **headers: str) -> Answer:
    return client.call("POST", f"{ALL}/{profile['id']}/run", body, headers=headers)


def file_of(client: Rest, profile: Any, **options: Any) -> tuple[Any, str]:
    """A finished export of a profile: the job, and its file."""
    answer = run(client, profile, {"options": options}, Prefer="wait=20")
    assert answer.status == 201, answer
    return answer.json, client.download(answer.json["id"]).body.decode()


def test_a_profile_is_created_and_read(client: Rest) -> None:
    answer = create(client, name=" Prices ")
    made = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/api/v1{ALL}/{made['id']}"
    assert {"name": "Prices", "format": "csv", "options": PRICES, "version": 1}.items() <= made.items()
    assert client.call("GET", f"{ALL}/{made['id']}").json == made


def test_an_export_of_a_profile_names_it_and_its_version(client: Rest) -> None:
    made = change(client, created(client), name="Net prices")
    answer = run(client, made)
    assert answer.status == 202, answer
    assert answer.headers["location"] == f"/api/v1/exports/jobs/{answer.json['id']}"
    job = client.ended(answer.json["id"])
    assert (job["status"], job["format"], job["options"]) == ("completed", "csv", PRICES)
    assert (job["profile_id"], job["profile_version"]) == (made["id"], 2)
    events = eventually(
        "its end is an event",
        lambda: [
            one["data"]
            for one in client.call("GET", "/events?limit=200").json["items"]
            if one["data"].get("job_id") == job["id"]
        ],
    )
    assert [(one["profile_id"], one["profile_version"]) for one in events] == [(made["id"], 2)]
    listed = client.call("GET", f"/exports/jobs?profile={made['id']}").json["items"]
    assert [one["id"] for one in listed] == [job["id"]]
    assert client.download(job["id"]).body.startswith(b"sku,price\r\nS-0,0.0\r\n")


def test_an_export_may_replace_and_remove_options(client: Rest) -> None:
    made = created(client, options={**PRICES, "filters": {"price": {"gte": 0.5}}})
    job, file = file_of(client, made, filters=None, delimiter=";", include_fields=["sku"])
    assert file.splitlines() == ["sku", "S-0", "S-1", "S-2", "S-3"]
    assert job["options"] == {"utf8_bom": False, "delimiter": ";", "include_fields": ["sku"]}
    assert client.call("GET", f"{ALL}/{made['id']}").json == made


def test_a_repeated_run_makes_one_job_also_after_a_change_or_the_deletion(client: Rest) -> None:
    made = created(client)
    headers = {"Idempotency-Key": f"run-{made['id']}"}
    first = run(client, made, {"options": {"delimiter": ";"}}, **headers)
    change(client, made, options={"include_fields": ["sku"]})
    second = run(client, made, {"options": {"delimiter": ";"}}, **headers)
    assert client.call("DELETE", f"{ALL}/{made['id']}").status == 204
    third = run(client, made, {"options": {"delimiter": ";"}}, **headers)
    assert [one.status for one in (first, second, third)] == [202] * 3
    assert len({one.json["id"] for one in (first, second, third)}) == 1
    assert [one.headers.get("idempotent-replayed") for one in (first, second, third)] == [None, "true", "true"]
    problem(run(client, made, {"options": {"delimiter": "|"}}, **headers), 422, "idempotency_key_reused")
    problem(run(client, made), 404, "profile_not_found")


def test_a_repeated_request_creates_one_profile(client: Rest) -> None:
    body, key = {"name": "Once", "format": "json", "options": {"filters": {"price": 1.50}}}, {"Idempotency-Key": "once"}
    first, second = (client.call("POST", ALL, body, headers=key) for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert second.headers["idempotent-replayed"] == "true"
    problem(client.call("POST", ALL, {**body, "name": "Twice"}, headers=key), 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"format": "pdf"}, "format"),
        ({"options": {"utf8_bomb": True}}, "options.utf8_bomb"),
        ({"options": {"filters": {"price": {"near": 1}}}}, "options.filters.price"),
        ({"options": {"file_name": "{nothing}"}}, "options.file_name"),
        ({"options": {"platform_ids": [SOME_ID]}}, "options.platform_ids[0]"),
        ({"options": {"platform_ids": "all"}}, "options.platform_ids"),
        ({"options": []}, "options"),
        ({"name": "\t"}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_no_export_could_have_is_rejected_with_its_place(client: Rest, fields: dict[str, Any], field: str) -> None:
    problem(create(client, **fields), 422, "invalid_request", field)
    changed = client.call("PATCH", f"{ALL}/{created(client)['id']}", fields)
    problem(changed, 422, "invalid_request", field)


@pytest.mark.parametrize("ids", [False, [1], {}, "all"])
def test_platforms_of_another_type_are_rejected_wherever_options_are_sent(client: Rest, ids: object) -> None:
    body, path = {"options": {"platform_ids": ids}}, f"{ALL}/{created(client)['id']}"
    for method, where, sent in (
        ("POST", ALL, {"name": "x", "format": "csv", **body}),
        ("PATCH", path, body),
        ("POST", f"{path}/run", body),
        ("POST", f"{path}/preflight", body),
    ):
        field = "options.platform_ids[0]" if ids == [1] else "options.platform_ids"
        problem(client.call(method, where, sent), 422, "invalid_request", field)


def test_an_override_is_checked_with_the_options_of_the_profile(client: Rest) -> None:
    made = created(client)
    problem(run(client, made, {"options": {"pretty": True}}), 422, "invalid_request", "options.pretty")
    problem(
        run(client, made, {"options": {"include_fields": ["pirce"]}}), 422, "unknown_field", "options.include_fields"
    )
    problem(run(client, made, {"option": {}}), 422, "invalid_request", "option")
    problem(run(client, {"id": SOME_ID}), 404, "profile_not_found")
    problem(client.export("csv", {"include_fields": ["pirce"]}), 422, "unknown_field", "include_fields")


def test_every_change_is_a_version_and_versions_are_kept(client: Rest) -> None:
    made = created(client)
    path = f"{ALL}/{made['id']}/versions"
    assert change(client, made, name="Prices", options=PRICES) == made, "nothing is different"
    second = change(client, made, name="Net prices")
    third = change(client, made, format="json", options={"filters": {"price": {"gte": 0.10}}})
    assert (second["version"], third["version"]) == (2, 3)
    assert client.call("GET", path).json == {"items": [third, second, made], "next_cursor": None}
    page = client.call("GET", f"{path}?limit=2").json
    rest = client.call("GET", f"{path}?limit=2&cursor={page['next_cursor']}").json
    assert [page["items"], rest["items"], rest["next_cursor"]] == [[third, second], [made], None]
    assert [client.call("GET", f"{path}/{number}").json for number in (1, 2, 3)] == [made, second, third]
    for number in ("0", "4", "x", "99999999999"):
        problem(client.call("GET", f"{path}/{number}"), 404, "profile_version_not_found")


def test_a_change_may_require_what_was_read(client: Rest) -> None:
    made = created(client)
    path = f"{ALL}/{made['id']}"
    tag = client.call("GET", path).headers["etag"]
    assert client.call("GET", path, headers={"If-None-Match": tag}).status == 304
    assert client.call("PATCH", path, {"name": "First"}, headers={"If-Match": tag}).status == 200
    problem(client.call("PATCH", path, {"name": "Second"}, headers={"If-Match": tag}), 412, "precondition_failed")
    problem(client.call("DELETE", path, headers={"If-Match": tag}), 412, "precondition_failed")
    assert client.call("DELETE", path).status == 204
    for method, below in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/versions"), ("GET", "/versions/1")):
        problem(client.call(method, path + below), 404, "profile_not_found")


def test_profiles_are_listed_newest_first_and_filtered(system: System) -> None:
    client = system.client("profiles-listed")
    first, second, third = (created(client, name=name) for name in ("Prices", "Stock", "Net PRICES"))
    fourth = created(client, name="All", format="json", options={})

    def listed(query: str) -> list[str]:
        return [one["id"] for one in client.call("GET", f"{ALL}{query}").json["items"]]

    assert listed("") == [one["id"] for one in (fourth, third, second, first)]
    assert listed("?name=prices") == [third["id"], first["id"]]
    assert listed("?format=json") == [fourth["id"]]
    page = client.call("GET", f"{ALL}?limit=3")
    assert f"cursor={page.json['next_cursor']}" in page.headers["link"]
    assert listed(f"?limit=3&cursor={page.json['next_cursor']}") == [first["id"]]
    assert client.call("GET", "/limits").json["profiles"] == {"used": 4, "limit": 200}
    problem(client.call("GET", f"{ALL}?format=pdf"), 422, "invalid_request", "format")
    problem(client.call("GET", f"{ALL}?format="), 422, "invalid_query", "format")
    problem(client.call("GET", f"{ALL}?colour=red"), 422, "invalid_query", "colour")
    assert client.call("GET", f"{ALL}/{first['id']}/versions").status == 200


def test_another_tenant_sees_nothing_of_it(client: Rest, system: System) -> None:
    made, other = created(client), system.client("profiles-other")
    problem(other.call("GET", f"{ALL}/{made['id']}"), 404, "profile_not_found")
    problem(run(other, made), 404, "profile_not_found")
    assert other.call("GET", ALL).json["items"] == []


@pytest.fixture(scope="module")
def platform(client: Rest) -> str:
    """The id of a platform; its schedules are only run by hand."""
    config = {"host": "127.0.0.1", "port": 1, "username": "u", "password": "p"}
    body = {"name": "Shop", "platform_type": "sftp", "config": config}
    answer = client.call("POST", "/exports/platforms", body)
    assert answer.status == 201, answer
    return str(answer.json["id"])


def schedule(client: Rest, platform: str, **fields: Any) -> Answer:
    body = {"platform_id": platform, "schedule_name": "Nightly", "cron_expression": "0 0 1 1 *", **fields}
    return client.call("POST", "/exports/schedules", body)


def run_of(client: Rest, schedule_id: str) -> Any:
    """The run that is started now, once it is submitted or failed."""
    path = f"/exports/schedules/{schedule_id}"
    run_id = client.call("POST", f"{path}/run").json["id"]

    def started() -> Any:
        found = client.call("GET", f"{path}/runs/{run_id}").json
        return found if found["status"] != "waiting" else None

    return eventually("the run has left the queue", started)


def test_each_run_of_a_schedule_exports_the_newest_version(client: Rest, platform: str) -> None:
    made = created(client, options={**PRICES, "platform_ids": []})
    one = schedule(client, platform, profile_id=made["id"])
    assert one.status == 201, one
    shown = client.call("GET", f"/exports/schedules/{one.json['id']}").json
    assert shown["profile_id"] == made["id"]
    assert not {"format", "options"} & set(shown)
    first = client.job(run_of(client, one.json["id"])["job_id"])
    change(client, made, format="json", options={"json_lines": True})
    second = client.job(run_of(client, one.json["id"])["job_id"])
    assert [(job["profile_id"], job["profile_version"], job["format"]) for job in (first, second)] == [
        (made["id"], 1, "csv"),
        (made["id"], 2, "json"),
    ]
    assert first["schedule_id"] == one.json["id"]
    assert first["options"] == {**PRICES, "platform_ids": [platform]}
    assert second["options"] == {"json_lines": True, "platform_ids": [platform]}


def test_a_profile_that_schedules_export_is_only_deleted_by_force_and_then_their_runs_fail(
    client: Rest, platform: str
) -> None:
    made = created(client)
    path = f"{ALL}/{made['id']}"
    ids = [schedule(client, platform, profile_id=made["id"], schedule_name=f"At {n}").json["id"] for n in range(2)]
    listed = client.call("GET", f"/exports/schedules?profile={made['id']}").json["items"]
    assert [one["id"] for one in listed] == ids[::-1]
    found = problem(client.call("DELETE", path), 409, "profile_in_use")
    assert all(f"'At {n}' ({one})" in found["detail"] for n, one in enumerate(ids))
    assert client.call("DELETE", f"{path}?force=true").status == 204
    failed = run_of(client, ids[0])
    assert (failed["status"], failed["reason"]) == ("failed", f"profile_not_found: There is no profile {made['id']}.")
    answer = client.call("PATCH", f"/exports/schedules/{ids[0]}", {"is_active": True})
    problem(answer, 422, "invalid_request", "profile_id")


def test_a_schedule_has_a_profile_or_a_format_with_options(client: Rest, platform: str) -> None:
    made = created(client)
    both: list[dict[str, Any]] = [{"format": "csv"}, {"options": {}}, {"format": "json", "options": {}}]
    for more in both:
        answer = schedule(client, platform, profile_id=made["id"], **more)
        problem(answer, 422, "invalid_request", "profile_id")
    problem(schedule(client, platform, profile_id=SOME_ID), 422, "invalid_request", "profile_id", "does not exist")
    problem(schedule(client, platform, profile_id="first"), 422, "invalid_request", "profile_id")
    one = schedule(client, platform, profile_id=made["id"]).json
    path = f"/exports/schedules/{one['id']}"
    problem(client.call("PATCH", path, {"options": {}}), 422, "invalid_request", "format")
    shown = client.call("PATCH", path, {"format": "csv", "options": {"delimiter": ";"}}).json
    assert (shown["format"], shown["options"], "profile_id" in shown) == ("csv", {"delimiter": ";"}, False)
    problem(
        client.call("PATCH", path, {"profile_id": made["id"], "format": "csv"}), 422, "invalid_request", "profile_id"
    )
    tag = client.call("GET", path).headers["etag"]
    answer = client.call("PATCH", path, {"profile_id": made["id"]}, headers={"If-Match": tag})
    assert (answer.status, answer.json["profile_id"], "options" in answer.json) == (200, made["id"], False)


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def from_header(client: Rest, content: bytes, media_type: str = "text/csv", query: str = "") -> Answer:
    return client.call("POST", f"{ALL}/from-header{query}", headers={"Content-Type": media_type}, raw=content)


def test_a_profile_is_proposed_for_a_blank_csv_file(client: Rest) -> None:
    answer = from_header(client, "SKU;Net Price;prices\r\n".encode("utf-8-sig"), query="?name=Market")
    assert answer.status == 200, answer
    columns = [
        {"header": "SKU", "field": "sku"},
        {"header": "Net Price", "value": ""},
        {"header": "prices", "field": "price"},
    ]
    options = {"columns": columns, "delimiter": ";", "utf8_bom": True}
    assert answer.json["profile"] == {"name": "Market", "format": "csv", "options": options}
    [one] = answer.json["open"]
    assert one["header"] == "Net Price"
    assert isinstance(one["near"], list)
    assert "Market" not in [one["name"] for one in client.call("GET", f"{ALL}?name=market").json["items"]]


def test_a_profile_is_proposed_for_a_blank_workbook(client: Rest) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Price", "sku"])
    file = io.BytesIO()
    book.save(file)
    proposed = from_header(client, file.getvalue(), XLSX).json
    assert from_header(client, file.getvalue(), "application/octet-stream").json == proposed
    assert from_header(client, b"sku", "application/octet-stream").json["profile"]["format"] == "csv"
    assert (proposed["profile"]["format"], proposed["open"]) == ("excel", [])
    assert [one["field"] for one in proposed["profile"]["options"]["columns"]] == ["price", "sku"]


def test_a_file_without_a_header_is_rejected_with_the_reason(client: Rest) -> None:
    problem(from_header(client, b"sku,,price"), 422, "invalid_request", "body", "no name for column 2")
    problem(from_header(client, b"sku,price", XLSX), 422, "invalid_request", "body", "not an Excel workbook")
    problem(from_header(client, b""), 422, "invalid_request", "body", "empty")
    problem(from_header(client, b"{}", "application/json"), 415, "unsupported_media_type", words="text/csv")
    problem(from_header(client, b"x" * (1024 * 1024 + 1)), 413, "body_too_large")
    problem(from_header(client, b"sku", query="?name="), 422, "invalid_query", "name")
