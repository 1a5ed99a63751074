"""The parts of the client that do no I/O of their own: events, retries, part files, errors."""

import hashlib
import re
from pathlib import Path

import httpx
import pytest

from catalog_exports.cli.exit_codes import ExitCode
from catalog_exports.client.errors import ApiError, KeyRejected, Unavailable, api_error
from catalog_exports.client.event_stream import Event, EventReader
from catalog_exports.client.retries import backoff, delay_after_answer, delay_after_failure
from catalog_exports.client.sinks import PartFile, target
from deploy import sync_client
from tests.system import ROOT

URL = "https://exports.example.com/api/v1/exports/jobs"
GET = httpx.Request("GET", URL)
CANCEL = httpx.Request("POST", f"{URL}/1/cancel")
CREATE = httpx.Request("POST", URL, headers={"Idempotency-Key": "k"})
NO_ROUTE, CUT, BAD = httpx.ConnectError("no route"), httpx.ReadError("cut"), httpx.UnsupportedProtocol("no http://")


def test_lines_become_events() -> None:
    reader = EventReader()
    lines = [": keep-alive", "", "id: 7", "event: job", "data: {", "data:}", "", "data: x", "retry: 1", "", ""]
    events = [event for line in lines if (event := reader.read(line))]
    assert events == [Event("7", "job", "{\n}"), Event("7", "message", "x")]


@pytest.mark.parametrize(
    ("request_", "failure", "repeats"),
    [(GET, BAD, False), (GET, CUT, True), (CREATE, CUT, True), (CANCEL, CUT, False), (CANCEL, NO_ROUTE, True)],
)
def test_a_request_without_an_answer_is_repeated_if_that_is_safe(
    request_: httpx.Request, failure: httpx.TransportError, repeats: bool
) -> None:
    assert (delay_after_failure(request_, failure, 0) is not None) == repeats


@pytest.mark.parametrize(
    ("request_", "status", "after", "delay"),
    [
        (GET, 503, "2", 2.0),
        (CANCEL, 429, "5", 5.0),
        (GET, 429, "3600", None),
        (GET, 429, None, None),
        (CANCEL, 502, None, None),
        (GET, 409, "1", None),
        (GET, 500, None, None),
    ],
)
def test_an_answer_that_asks_for_patience_is_repeated(
    request_: httpx.Request, status: int, after: str | None, delay: float | None
) -> None:
    error = api_error(httpx.Response(status, headers={"Retry-After": after} if after else {}))
    assert delay_after_answer(request_, error, 0) == delay


def test_pauses_grow_to_a_limit() -> None:
    assert delay_after_answer(GET, api_error(httpx.Response(502)), 0) is not None
    assert all(0.25 <= backoff(0) <= 0.5 and 4 <= backoff(9) <= 8 for _ in range(100))


def test_the_answer_of_a_proxy_is_an_error_too() -> None:
    error = api_error(httpx.Response(502, html="<h1>Bad Gateway</h1>"))
    assert (type(error), error.status, error.code, str(error)) == (
        Unavailable, 502, "http_502", "The server answered 502 Bad Gateway."
    )  # fmt: skip
    moved = api_error(httpx.Response(301, headers={"Location": "https://new.example.com/"}))
    assert (type(moved), str(moved)) == (
        ApiError, "The server answered 301 Moved Permanently, which leads to https://new.example.com/."
    )  # fmt: skip
    problem = {"detail": "no", "code": "invalid_key", "title": "Unauthorized", "status": 401, "new": 1}
    told = api_error(httpx.Response(401, json=problem, headers={"Content-Type": "application/problem+json"}))
    assert (type(told), told.code, told.problem.as_json()) == (KeyRejected, "invalid_key", problem)


def test_a_part_becomes_the_file_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    for chunk in (b"abc", b"def"):
        part = PartFile(path, "00" * 32)
        part.write(chunk)
        part.close()
    part = PartFile(path, "00" * 32)
    assert (part.size, part.was_continued, part.sha256()) == (6, True, hashlib.sha256(b"abcdef").hexdigest())
    other = PartFile(path, "11" * 32)
    assert (other.size, other.was_continued, path.read_text()) == (0, False, "old")
    other.discard()
    part.restart()
    part.write(b"new")
    part.keep()
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_downloads_at_the_same_time_have_a_part_each(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    first, second = PartFile(path, "00" * 32), PartFile(path, "00" * 32)
    first.write(b"ab")
    second.write(b"abc")
    first.write(b"c")
    first.keep()
    assert (path.read_bytes(), second.sha256()) == (b"abc", first.sha256())
    second.close()
    third = PartFile(path, "00" * 32)  # the first part is gone, and the second one is another's
    assert (third.part.name, third.size) == (first.part.name, 0)
    third.discard()
    second.part.rename(first.part)
    continued = PartFile(path, "00" * 32)
    assert (continued.size, continued.was_continued) == (3, True)
    continued.keep()
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"abc", [path])


@pytest.mark.parametrize(
    ("name", "file"),
    [("a.csv", "a.csv"), ("../../a.csv", "a.csv"), ("..\\a.csv", "a.csv"), ("/etc/passwd", "passwd"), ("..", "export")],
)
def test_the_server_chooses_a_name_and_never_a_folder(tmp_path: Path, name: str, file: str) -> None:
    assert target(None, name) == Path(file)
    assert target(tmp_path, name) == tmp_path / file
    assert target(tmp_path / "mine.csv", name) == tmp_path / "mine.csv"


def test_every_exit_code_is_on_the_page() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [code.value for code in ExitCode]


def test_the_synchronous_client_is_generated_from_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sync_client", "--check"])
    assert sync_client.main() == 0
