"""Downloads of a finished file: ranges, conditions, HEAD, and jobs that have none."""

import io
import shutil
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System, eventually

PRODUCTS = [{"_id": str(n), "sku": f"S{n}", "text": "ä" * n} for n in range(100)]


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("downloads", PRODUCTS)
    return system.client("downloads")


@pytest.fixture(scope="module")
def made(shop: Rest) -> tuple[dict[str, Any], bytes]:
    return shop.file("csv")


def get(client: Rest, job: dict[str, Any], **headers: str) -> Answer:
    return client.download(job["id"], **{name.replace("_", "-"): value for name, value in headers.items()})


def artifact(system: System, job: dict[str, Any]) -> Path:
    """The job's file in the store."""
    [file] = [path for path in (system.folder / "artifacts").rglob("*") if job["id"] in str(path) and path.is_file()]
    return file


def test_a_download_has_length_tag_name_and_type(shop: Rest, made: tuple[dict[str, Any], bytes]) -> None:
    job, file = made
    headers = get(shop, job).headers
    assert int(headers["content-length"]) == len(file) == job["file_size"]
    assert headers["etag"] == f'"{job["sha256"]}"'
    assert headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert headers["content-disposition"].startswith(f'attachment; filename="{job["file_name"]}"')
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    finished = datetime.fromisoformat(job["finished_at"])
    assert parsedate_to_datetime(headers["last-modified"]) == finished.replace(microsecond=0)


@pytest.mark.parametrize("step", [1_000, 4_096, 9_999])
def test_consecutive_ranges_make_the_whole_file(shop: Rest, made: tuple[dict[str, Any], bytes], step: int) -> None:
    job, file = made
    whole = io.BytesIO()
    while whole.tell() < len(file):
        answer = get(shop, job, Range=f"bytes={whole.tell()}-{whole.tell() + step - 1}")
        assert answer.status == 206
        end = min(whole.tell() + step, len(file)) - 1
        assert answer.headers["content-range"] == f"bytes {whole.tell()}-{end}/{len(file)}"
        assert int(answer.headers["content-length"]) == len(answer.body) == end - whole.tell() + 1
        whole.write(answer.body)
    assert whole.getvalue() == file


@pytest.mark.parametrize(
    ("asked", "start"), [("bytes=-7", -7), ("bytes=5-", 5), ("bytes=-99999999", 0), ("BYTES=5-", 5)]
)
def test_open_ranges_reach_to_the_end(shop: Rest, made: tuple[dict[str, Any], bytes], asked: str, start: int) -> None:
    job, file = made
    answer = get(shop, job, Range=asked)
    assert (answer.status, answer.body) == (206, file[start:])


@pytest.mark.parametrize(
    "asked", ["bytes=", "bytes=-", "bytes=9-2", "bytes=a-b", "bytes=1.5-2", "lines=1-2", "bytes", "x"]
)
def test_a_malformed_range_is_ignored(shop: Rest, made: tuple[dict[str, Any], bytes], asked: str) -> None:
    job, file = made
    answer = get(shop, job, Range=asked)
    assert (answer.status, answer.body) == (200, file)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-99999999", "bytes=-0", "bytes=0-1,4-5"])
def test_an_unsatisfiable_range_is_rejected_with_the_size_of_the_file(
    shop: Rest, made: tuple[dict[str, Any], bytes], asked: str
) -> None:
    job, file = made
    answer = get(shop, job, Range=asked)
    problem(answer, 416, "range_not_satisfiable", words=f"{len(file)} bytes")
    assert answer.headers["content-range"] == f"bytes */{len(file)}"


def test_if_range_ignores_the_range_unless_the_file_is_the_same(shop: Rest, made: tuple[dict[str, Any], bytes]) -> None:
    job, file = made
    same = {"tag": f'"{job["sha256"]}"', "date": get(shop, job).headers["last-modified"]}
    other = {"tag": f'"{"0" * 64}"', "weak": f'W/"{job["sha256"]}"', "date": "Sun, 15 Mar 2026 09:00:00 GMT"}
    for condition in same.values():
        assert get(shop, job, Range="bytes=3-9", If_Range=condition).body == file[3:10]
    for condition in other.values():
        answer = get(shop, job, Range="bytes=3-9", If_Range=condition)
        assert (answer.status, answer.body) == (200, file)


def test_a_file_that_the_client_already_has_is_not_sent(shop: Rest, made: tuple[dict[str, Any], bytes]) -> None:
    job, file = made
    tag = f'"{job["sha256"]}"'
    for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = get(shop, job, If_None_Match=condition)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert get(shop, job, If_None_Match='"x"').body == file


def test_head_has_the_headers_of_the_whole_file_and_no_body(shop: Rest, made: tuple[dict[str, Any], bytes]) -> None:
    job, file = made
    path = f"/exports/jobs/{job['id']}/download"
    for headers in ({}, {"Range": "bytes=3-9"}):
        head = shop.call("HEAD", path, headers=headers)
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) == len(file)
        whole = shop.download(job["id"]).headers
        for name in ("etag", "content-type", "content-disposition", "last-modified"):
            assert head.headers[name] == whole[name]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_is_missing_from_the_store_is_gone(system: System, shop: Rest, method: str) -> None:
    job, _ = shop.file("csv")
    artifact(system, job).unlink()
    answer = shop.call(method, f"/exports/jobs/{job['id']}/download")
    assert answer.status == 410
    if method == "GET":
        problem(answer, 410, "file_expired", words="start a new export")


def test_a_file_past_its_retention_is_gone_and_so_is_its_link(system: System, shop: Rest) -> None:
    job, _ = shop.file("csv")
    with system.mongo() as mongo:
        past = datetime.now(UTC) - timedelta(seconds=5)
        mongo["exporter"]["jobs"].update_one({"_id": job["id"]}, {"$set": {"expires_at": past}})
    problem(shop.download(job["id"]), 410, "file_expired")
    problem(Rest(system.url, "").call("GET", job["file_url"]), 410, "file_expired")
    expired = shop.job(job["id"])
    assert expired["status"] == "expired"
    assert "file_url" not in expired


def test_an_unavailable_store_is_a_transient_fault(system: System, shop: Rest) -> None:
    job, file = shop.file("csv")
    store = system.folder / "artifacts"
    aside = store.rename(system.folder / "aside")
    try:
        answer = shop.download(job["id"])
        problem(answer, 503, "artifact_store_unavailable", words="try again later")
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        shutil.rmtree(store, ignore_errors=True)
        aside.rename(store)
    assert shop.download(job["id"]).body == file


def test_the_download_of_a_job_without_a_file_says_why(system: System) -> None:
    system.fill("downloads-wide", [{"_id": 1, **{f"c{n}": n for n in range(10_001)}}])
    wide, long = system.client("downloads-wide"), system.client(system.fill_wide())
    failed = wide.ended(wide.export("csv").json["id"])
    assert failed["status"] == "failed"
    problem(wide.download(failed["id"]), 409, failed["error"]["code"], words=failed["error"]["message"])
    job_id = long.export("excel").json["id"]
    eventually("reading", lambda: long.job(job_id)["stage"] == "reading", every=0.01)
    waiting = long.download(job_id)
    problem(waiting, 409, "job_not_finished")
    assert int(waiting.headers["retry-after"]) >= 1
    assert long.call("POST", f"/exports/jobs/{job_id}/cancel").json["status"] == "cancelled"
    problem(long.download(job_id), 409, "job_cancelled", words="retry")
