"""States and ids of jobs."""

from services.exporter.jobs.job import ENDED, LIVE, RETRIABLE, JobState, id_for_key


def test_every_state_is_either_live_or_ended() -> None:
    assert frozenset(JobState) == LIVE | ENDED
    assert not LIVE & ENDED
    assert RETRIABLE <= ENDED


def test_a_key_stands_for_the_same_job_again_and_for_another_in_another_tenant() -> None:
    assert id_for_key("a", "k") == id_for_key("a", "k")
    assert id_for_key("a", "k") != id_for_key("b", "k")
    assert id_for_key("a", "k") != id_for_key("a", "l")
