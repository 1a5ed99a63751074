"""Which files in the store are of use to somebody."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.exporter.jobs.artifacts import ArtifactRef, artifact_key, is_garbage, parse_key
from services.exporter.jobs.job import Artifact, Job, JobState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "0b7c9c0e-5b1f-4d53-9a53-2f8b3f0a7a11"
RUNNING = Job(JOB, "t", "csv", "{}", "h", JobState.RUNNING, NOW, NOW, fence=2)


def key(fence: int) -> str:
    return artifact_key(replace(RUNNING, fence=fence), ".csv")


def test_a_key_tells_its_job_and_fence() -> None:
    born = int(NOW.timestamp() * 1000)
    assert parse_key(key(7)) == ArtifactRef(JOB, 7, born)
    assert parse_key(key(7) + ".part") == ArtifactRef(JOB, 7, born)


@pytest.mark.parametrize(
    "foreign",
    [
        "readme.txt",
        "a/b/c/d",
        "a/b/1",
        "a/b/1/c/d",
        "a/b/1/export-1.csv",
        f"a/{JOB}/1/report.csv",
        f"a/{JOB}/x/export-1.csv",
    ],
)
def test_foreign_keys_are_never_garbage(foreign: str) -> None:
    assert parse_key(foreign) is None
    assert not is_garbage(foreign, None)


def test_the_holders_file_is_kept_and_a_losers_is_not() -> None:
    assert not is_garbage(key(2), RUNNING)
    assert is_garbage(key(1), RUNNING)


def test_a_waiting_job_keeps_nothing_older_than_its_fence() -> None:
    waiting = replace(RUNNING, state=JobState.RETRY_WAIT)
    assert is_garbage(key(1), waiting)


def test_a_completed_job_keeps_its_artifact_only() -> None:
    done = replace(RUNNING, state=JobState.COMPLETED, artifact=Artifact(key(2), "f", "m", 1, "x"))
    assert not is_garbage(key(2), done)
    assert is_garbage(key(1), done)
    assert is_garbage(key(2) + ".part", done)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
def test_a_job_that_ended_otherwise_keeps_nothing(state: JobState) -> None:
    ended = replace(RUNNING, state=state, artifact=Artifact(key(2), "f", "m", 1, "x"))
    assert is_garbage(key(2), ended)


def test_the_file_of_a_deleted_job_is_garbage() -> None:
    assert is_garbage(key(1), None)


def test_a_job_recreated_under_its_idempotency_key_has_another_artifact_key() -> None:
    again = replace(RUNNING, created_at=NOW + timedelta(milliseconds=1), fence=1)
    assert artifact_key(again, ".csv") != key(1)
    assert is_garbage(key(1), again)
    assert is_garbage(key(9), again)
    assert not is_garbage(artifact_key(again, ".csv"), again)
