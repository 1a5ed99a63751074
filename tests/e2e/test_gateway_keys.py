"""API keys: which are accepted, what their scopes allow, when they expire, and whose data they show."""

import os
import subprocess
import sys

import pytest

from services.gateway.auth.api_keys import new_secret
from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import ROOT, System, eventually

ROUTES = [("GET", "/exports/jobs"), ("POST", "/exports/csv/products")]


@pytest.fixture(scope="module")
def job_id(system: System) -> str:
    system.fill("keys", [{"_id": "1", "sku": "A"}])
    job, _ = system.client("keys").file("csv")
    return str(job["id"])


def ask(system: System, authorization: str | None) -> Answer:
    headers = {} if authorization is None else {"Authorization": authorization}
    return Rest(system.url, "").call("GET", "/exports/jobs", headers=headers)


def keys(system: System, *arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "services.gateway.auth.keys", *arguments]
    env = {**os.environ, "MONGODB_URI": system.mongod.uri}
    return subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_request_without_a_key_is_rejected(system: System, method: str, path: str) -> None:
    answer = Rest(system.url, "").call(method, path)
    problem(answer, 401, "missing_key", words="Authorization: Bearer")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Bearer x", "Basic dXNlcjpwYXNz", "Digest a=b", "cx_0_0", "Bearer ä", "Bearer cx_"],
)
def test_a_malformed_key_is_rejected(system: System, authorization: str) -> None:
    problem(ask(system, authorization), 401, "invalid_key")


def test_an_unknown_key_and_a_wrong_secret_get_the_same_answer(system: System) -> None:
    known = system.key("keys")
    wrong = known[:-1] + ("A" if known[-1] != "A" else "B")
    answers = [ask(system, f"Bearer {key}") for key in (str(new_secret()), wrong)]
    details = {problem(answer, 401, "invalid_key")["detail"] for answer in answers}
    assert len(details) == 1


def test_the_scheme_is_case_insensitive(system: System) -> None:
    key = system.key("keys")
    assert [ask(system, f"{scheme} {key}").status for scheme in ("Bearer", "bearer", "BEARER")] == [200] * 3


def test_a_revoked_key_is_rejected_soon(system: System) -> None:
    key = system.key("keys")
    assert ask(system, f"Bearer {key}").status == 200
    keys(system, "revoke", key)
    rejected = eventually("rejected", lambda: (a := ask(system, f"Bearer {key}")).status == 401 and a, within=10)
    problem(rejected, 401, "key_revoked")


def test_a_key_expires(system: System) -> None:
    key = keys(system, "create", "--tenant", "keys", "--days", "0.00002", "--quiet")  # 1.7 s
    rejected = eventually("rejected", lambda: (a := ask(system, f"Bearer {key}")).status == 401 and a, within=10)
    problem(rejected, 401, "key_expired")


def test_a_key_allows_only_what_its_scopes_name(system: System, job_id: str) -> None:
    reader = Rest(system.url, system.key("keys", "exports:read"))
    writer = Rest(system.url, system.key("keys", "exports:write"))
    unrelated = Rest(system.url, system.key("keys", "platforms:read,platforms:write,schedules:read"))
    assert reader.job(job_id)["id"] == job_id
    assert reader.download(job_id).status == 200
    for method, path in [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]:
        problem(reader.call(method, f"/exports/jobs/{job_id}{path}"), 403, "missing_scope", words="exports:write")
    problem(reader.export("csv"), 403, "missing_scope", words="exports:write")
    assert writer.export("csv").status == 202
    problem(writer.call("GET", f"/exports/jobs/{job_id}"), 403, "missing_scope", words="exports:read")
    problem(writer.download(job_id), 403, "missing_scope", words="exports:read")
    problem(unrelated.call("GET", "/exports/jobs"), 403, "missing_scope", words="exports:read")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/download"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]
)
def test_another_tenants_job_is_not_found(system: System, job_id: str, method: str, path: str) -> None:
    other = system.client("keys-other")
    never = "00000000-0000-4000-8000-000000000000"
    theirs, none = (other.call(method, f"/exports/jobs/{one}{path}") for one in (job_id, never))
    problem(theirs, 404, "job_not_found")
    problem(none, 404, "job_not_found")
    assert theirs.json["detail"].replace(job_id, "") == none.json["detail"].replace(never, "")


def test_another_tenants_jobs_are_not_listed(system: System, job_id: str) -> None:
    assert system.client("keys-other").call("GET", "/exports/jobs").json == {"items": [], "next_cursor": None}
    assert job_id in {job["id"] for job in system.client("keys").call("GET", "/exports/jobs").json["items"]}


def test_two_tenants_with_the_same_idempotency_key_get_two_jobs(system: System, job_id: str) -> None:
    system.fill("keys-second", [{"_id": "1", "sku": "A"}])
    first, second = (
        system.client(tenant).export("csv", key="nightly").json["id"] for tenant in ("keys", "keys-second")
    )
    assert first != second
