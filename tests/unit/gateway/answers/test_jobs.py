"""A job of the protocol as REST shows it, in every state."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.answers.jobs import STATUSES, accepted, shown
from services.gateway.auth.links import FileLink
from services.wire import errors_pb2
from services.wire import exporter_pb2 as pb

STATES = {name.removeprefix("JOB_STATE_").lower(): value for name, value in pb.JobState.items() if value}
ALWAYS = {"id", "status", "format", "created_at", "options"}
FILE = {"total_records", "records", "file_name", "file_size", "sha256", "completed_at", "expires_at", "warnings"}


def stamp(day: int) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(datetime(2026, 3, day, 9, 0, tzinfo=UTC))
    return made


def job(state: str, **more: Any) -> pb.Job:
    values = {
        "id": "11111111-2222-3333-4444-555555555555",
        "tenant": "shop",
        "format": "csv",
        "created_at": stamp(1),
        "attempt": 1,
        "options_json": '{"filters":{"cost":12.10}}',
    }
    return pb.Job(state=STATES[state], **{**values, **more})


def ended(state: str, **more: Any) -> pb.Job:
    artifact = pb.Artifact(file_name="a.csv", media_type="text/csv", size_bytes=7, sha256="ab")
    warnings = [pb.Warning(code="no_match", message="No product matches.")]
    times = {"finished_at": stamp(2), "expires_at": stamp(9)}
    return job(state, records={"products": 5, "suppliers": 2}, artifact=artifact, warnings=warnings, **times, **more)


def read(message: pb.Job, url: str | None = None) -> dict[str, Any]:
    link = None if url is None else FileLink(url, datetime(2026, 3, 16, tzinfo=UTC))
    found: dict[str, Any] = json.loads(shown(message, link).text())
    return found


def test_every_state_of_the_protocol_has_a_status() -> None:
    assert set(STATUSES) == set(STATES.values())


@pytest.mark.parametrize("state", ["accepted", "running", "retry_wait"])
def test_a_live_job_is_processing_with_stage_and_progress_whatever_its_state(state: str) -> None:
    answer = read(job(state))
    assert answer["status"] == "processing"
    assert set(answer) == ALWAYS | {"stage", "progress"}


@pytest.mark.parametrize(
    ("stage", "word"),
    [
        (pb.JOB_STAGE_UNSPECIFIED, "queued"),
        (pb.JOB_STAGE_READING, "reading"),
        (pb.JOB_STAGE_FINALIZING, "finalizing"),
        (99, "queued"),
    ],
)
def test_a_stage_is_one_of_three_words(stage: pb.JobStage.ValueType, word: str) -> None:
    assert read(job("running", stage=stage))["stage"] == word


@pytest.mark.parametrize(
    ("counts", "progress"),
    [
        ({"processed_documents": 3}, {"processed": 3}),
        ({"processed_documents": 1, "total_documents": 3}, {"processed": 1, "total": 3, "percent": 33.3}),
        ({"processed_documents": 5, "total_documents": 3}, {"processed": 5, "total": 5, "percent": 100.0}),
        ({"processed_documents": 0, "total_documents": 0}, {"processed": 0, "total": 0, "percent": 100.0}),
    ],
)
def test_progress_never_says_more_than_all(counts: dict[str, int], progress: dict[str, float]) -> None:
    assert read(job("running", **counts))["progress"] == progress


def test_a_completed_job_has_its_file_and_counts() -> None:
    answer = read(ended("completed"), "http://x/file")
    assert set(answer) == ALWAYS | FILE | {"file_url", "file_url_expires_at", "finished_at"}
    assert answer["total_records"] == 7
    assert answer["records"] == {"products": 5, "suppliers": 2}
    assert answer["file_url"] == "http://x/file"
    assert answer["completed_at"] == answer["finished_at"] == "2026-03-02T09:00:00.000Z"
    assert answer["expires_at"] == "2026-03-09T09:00:00.000Z"
    assert answer["warnings"] == [{"code": "no_match", "message": "No product matches."}]


def test_an_expired_job_still_says_what_there_was_but_has_no_link() -> None:
    answer = read(ended("expired"), "http://x/file")
    assert answer["status"] == "expired"
    assert set(answer) == ALWAYS | FILE | {"finished_at"}


def test_a_failed_job_says_why_and_shows_nothing_of_a_file() -> None:
    error = errors_pb2.ErrorInfo(code="catalogue_missing", message="There is no catalogue.")
    answer = read(job("failed", error=error, finished_at=stamp(2)), "http://x/file")
    assert set(answer) == ALWAYS | {"error", "finished_at"}
    assert answer["error"] == {"code": "catalogue_missing", "message": "There is no catalogue."}


def test_a_job_that_waits_for_another_attempt_says_what_went_wrong_and_how_often() -> None:
    error = errors_pb2.ErrorInfo(code="artifact_store_full", message="No space left.")
    answer = read(job("retry_wait", attempt=3, error=error))
    assert answer["attempt"] == 3
    assert answer["error"]["code"] == "artifact_store_full"


def test_a_cancelled_job_has_an_end_and_no_completion() -> None:
    assert set(read(job("cancelled", finished_at=stamp(2)))) == ALWAYS | {"finished_at"}


def test_a_job_of_a_schedule_names_it() -> None:
    assert read(job("accepted", schedule_id="s1"))["schedule_id"] == "s1"


def test_a_job_without_options_shows_an_empty_object() -> None:
    assert read(job("accepted", options_json=""))["options"] == {}


def test_an_accepted_answer_has_the_four_documented_fields() -> None:
    assert set(json.loads(accepted(job("accepted")).text())) == {"id", "status", "format", "created_at"}


@pytest.mark.parametrize(
    ("options", "ids", "shown_options"),
    [
        ('{"price":1.10}', ["A1"], '{"price":1.10, "platform_ids": ["A1"]}'),
        ("", [], '{"platform_ids": []}'),
    ],
)
def test_the_selection_of_platforms_is_one_of_the_options(options: str, ids: list[str], shown_options: str) -> None:
    message = job("accepted", options_json=options, platforms=pb.PlatformSelection(platform_ids=ids))
    assert shown(message, None).options == shown_options
