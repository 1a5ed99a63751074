"""States and ids of jobs."""

from services.exporter.jobs.job import ENDED, LIVE, RETRIABLE, JobState, id_for_key


def test_every_state_is_either_live_or_ended() -> None:
    assert frozenset(JobState) == LIVE | ENDED
    assert not LIVE & ENDED
    assert RETRIABLE <= ENDED


def test_an_idempotency_key_gives_the_same_job_id_only_within_a_tenant() -> None:
    assert id_for_key("a", "k") == id_for_key("a", "k")
    assert id_for_key("a", "k") != id_for_key("b", "k")
    assert id_for_key("a", "k") != id_for_key("a", "l")
