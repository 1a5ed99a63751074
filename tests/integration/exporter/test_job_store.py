"""The job state machine: every change is one compare-and-set, and only one of two who want the same one gets it."""

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Database, Document
from services.exporter.jobs.job import Artifact, FinishedFile, Job, JobState, NewJob, Stage
from services.exporter.jobs.store import PUBLISH_SECONDS, JobStore, Lease
from tests.integration.exporting import eventually

FILE = Artifact("k", "products.csv", "text/csv", 10, "0" * 64)
FAULT = ErrorInfo("catalogue_unavailable", "The catalogue does not answer.")
LONG = 60.0
OVER = 0.001
"""A lease that has run out by the time anybody looks."""


def new_job(**fields: Any) -> NewJob:
    made = NewJob(str(uuid.uuid4()), "acme", "csv", "{}", "hash", max_attempts=3)
    return replace(made, **fields)


async def document(database: Database, job: Job | NewJob) -> Document:
    found = await database["jobs"].find_one({"_id": job.id})
    assert found is not None
    return found


async def claimed(store: JobStore, job: Job | NewJob, lease: float = LONG, owner: str = "worker") -> Lease:
    taken = await store.claim(job.tenant, owner, lease)
    assert taken is not None
    return taken


async def completed(store: JobStore, lease: Lease, keep: float = LONG) -> bool:
    return await store.complete(lease, FinishedFile(FILE, {"products": 7}, (), keep))


@dataclass
class Progress:
    """What an attempt reports."""

    processed: int = 0
    total: int | None = None
    stage: Stage = Stage.READING


async def heartbeat(store: JobStore, lease: Lease, processed: int = 0) -> bool:
    return await store.heartbeat(lease, Progress(processed), LONG)


async def passed(store: JobStore, job: Job | NewJob, owner: str = "successor") -> Lease:
    """The job claimed once its last lease has run out."""
    taken: Lease = await eventually("the lease has run out", lambda: store.claim(job.tenant, owner, LONG))
    return taken


# Accepting


async def test_an_accepted_job_carries_its_own_outbox(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job())
    kept = await document(database, job)
    assert job.state is JobState.ACCEPTED
    assert (job.fence, job.attempt, job.stage) == (0, 0, "queued")
    assert kept["created_at"] == kept["updated_at"]
    assert kept["dispatch_at"] == kept["created_at"] + timedelta(seconds=PUBLISH_SECONDS)


async def test_accepting_an_id_again_returns_the_stored_job_unchanged(store: JobStore, database: Database) -> None:
    first = await store.accept(new_job())
    await claimed(store, first)
    before = await document(database, first)
    again = await store.accept(new_job(id=first.id, tenant="other", request_hash="another"))
    assert (again.tenant, again.request_hash, again.state) == ("acme", "hash", JobState.RUNNING)
    assert await document(database, first) == before


async def test_twenty_concurrent_requests_with_one_id_create_one_job(store: JobStore, database: Database) -> None:
    job_id = str(uuid.uuid4())
    made = await asyncio.gather(*(store.accept(new_job(id=job_id, request_id=str(n))) for n in range(20)))
    assert len({job.request_id for job in made}) == 1
    assert await database["jobs"].count_documents({"_id": job_id}) == 1


async def test_values_with_dollars_stay_text(store: JobStore) -> None:
    job = await store.accept(new_job(options_json="$$NOW", schedule_name="$state", request_hash="$literal"))
    assert (job.options_json, job.schedule_name, job.request_hash) == ("$$NOW", "$state", "$literal")
    lease = await claimed(store, job, owner="$$ROOT")
    await store.wait_for_retry(lease, ErrorInfo("$code", "$$NOW {$set: 1}"), 0.0)
    found = await store.get("acme", job.id)
    assert found is not None and found.error == ErrorInfo("$code", "$$NOW {$set: 1}")


async def test_another_tenants_job_is_not_there(store: JobStore) -> None:
    job = await store.accept(new_job())
    assert await store.get("other", job.id) is None
    assert await store.cancel("other", job.id) is None
    assert await store.retry("other", job.id) is None
    assert await store.delete("other", job.id) is None


async def test_live_jobs_are_counted_for_a_tenant_alone_and_no_further_than_asked(store: JobStore) -> None:
    for _ in range(3):
        await store.accept(new_job())
    await store.cancel("acme", (await store.accept(new_job())).id)
    await store.accept(new_job(tenant="other"))
    assert await store.live_count("acme", 100) == 3
    assert await store.live_count("acme", 2) == 2


# Claiming


async def test_one_of_two_concurrent_claims_wins(store: JobStore) -> None:
    for _ in range(10):
        job = await store.accept(new_job())
        taken = await asyncio.gather(*(store.claim(job.tenant, f"w{n}", LONG) for n in range(8)))
        [lease] = [lease for lease in taken if lease is not None]
        assert (lease.job.state, lease.job.fence, lease.job.attempt) == (JobState.RUNNING, 1, 1)


async def test_a_held_job_is_not_to_be_had(store: JobStore) -> None:
    job = await store.accept(new_job())
    await claimed(store, job)
    assert await store.claim(job.tenant, "other", LONG) is None
    assert await store.give_up(FAULT) is None


async def test_the_preferred_job_is_claimed_or_else_the_oldest(store: JobStore) -> None:
    jobs = [await store.accept(new_job(id=f"job-{number}")) for number in range(3)]
    for preferred in (jobs[2].id, jobs[2].id, "job-9"):
        lease = await store.claim("acme", "me", LONG, preferred)
        assert lease is not None
        await store.fail(lease, FAULT)
    assert [(await store.get("acme", job.id) or job).fence for job in jobs] == [1, 1, 1]
    assert await store.claim("other", "me", LONG, jobs[0].id) is None


async def test_it_is_known_when_a_job_may_be_claimed(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job())
    assert await store.seconds_until_due("job-9") is None
    await database["jobs"].update_one({"_id": job.id}, {"$unset": {"dispatch_at": ""}})
    assert await store.seconds_until_due(job.id) == 0
    lease = await claimed(store, job)
    assert 0 < (await store.seconds_until_due(job.id) or 0) <= LONG
    await store.wait_for_retry(lease, FAULT, 2 * LONG)
    assert LONG < (await store.seconds_until_due(job.id) or 0) <= 2 * LONG
    await store.cancel(job.tenant, job.id)
    assert await store.seconds_until_due(job.id) is None


async def test_what_is_noted_about_deliveries_is_about_one_job_and_true_stays(store: JobStore) -> None:
    job = await store.accept(new_job())

    async def noted(*, has_deliveries: bool, seconds: int = 0) -> bool | None:
        jobs = [(job.id, job.created_at + timedelta(seconds=seconds)), ("job-9", job.created_at)]
        await store.note_deliveries(jobs, has_deliveries=has_deliveries)
        found = await store.get(job.tenant, job.id)
        assert found is not None
        return found.has_deliveries

    assert await noted(has_deliveries=False, seconds=1) is None
    assert await noted(has_deliveries=False) is False
    assert await noted(has_deliveries=True) is True
    assert await noted(has_deliveries=False) is True


async def test_an_expired_lease_is_taken_over_with_the_next_fence(store: JobStore) -> None:
    job = await store.accept(new_job())
    loser = await claimed(store, job, OVER)
    winner = await passed(store, job)
    assert (winner.job.fence, winner.job.attempt) == (loser.job.fence + 1, 2)
    assert winner.job.started_at == loser.job.started_at


async def test_a_loser_can_change_nothing(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job())
    loser = await claimed(store, job, OVER)
    winner = await passed(store, job)
    before = await document(database, job)
    assert not await heartbeat(store, loser)
    assert not await completed(store, loser)
    assert not await store.fail(loser, FAULT)
    assert not await store.wait_for_retry(loser, FAULT, 0.0)
    assert not await store.give_back(loser)
    assert await document(database, job) == before
    assert await heartbeat(store, winner)
    assert await completed(store, winner)


async def test_an_expired_lease_is_still_valid_until_another_worker_claims_the_job(store: JobStore) -> None:
    job = await store.accept(new_job())
    lease = await claimed(store, job, OVER)
    assert await heartbeat(store, lease)
    assert await store.claim(job.tenant, "other", LONG) is None


async def report_ends(store: JobStore) -> list[Job]:
    """Take the events that are due, and confirm them."""
    taken = await store.take_events("tests", LONG, 100)
    await store.events_sent(taken)
    return taken


async def test_a_lease_is_lost_when_its_job_was_deleted_and_recreated(store: JobStore) -> None:
    job = await store.accept(new_job())
    old = await claimed(store, job)
    await store.cancel("acme", job.id)
    await report_ends(store)
    await store.delete("acme", job.id)
    await store.accept(new_job(id=job.id))
    new = await claimed(store, job)
    assert (old.job.id, old.job.fence) == (new.job.id, new.job.fence)
    assert not await heartbeat(store, old)
    assert not await completed(store, old)
    assert await heartbeat(store, new)


async def test_attempts_are_counted_at_the_claim_and_end_the_job(store: JobStore) -> None:
    job = await store.accept(new_job(max_attempts=2))
    await claimed(store, job, OVER)
    second = await store.claim(job.tenant, "w", OVER) or await passed_briefly(store, job)
    assert second.job.attempt == 2
    failed: Job = await eventually("it is given up", lambda: store.give_up(FAULT))
    assert (failed.state, failed.error, failed.attempt) == (JobState.FAILED, FAULT, 2)
    assert await store.claim(job.tenant, "w", LONG) is None


async def passed_briefly(store: JobStore, job: Job) -> Lease:
    taken: Lease = await eventually("the lease has run out", lambda: store.claim(job.tenant, "w", OVER))
    return taken


async def test_a_job_with_attempts_left_is_not_given_up(store: JobStore) -> None:
    job = await store.accept(new_job())
    assert await store.give_up(FAULT) is None
    lease = await claimed(store, job)
    await store.wait_for_retry(lease, FAULT, 0.0)
    assert await store.give_up(FAULT) is None


async def test_a_waiting_job_is_not_claimable_before_its_time(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job())
    await store.wait_for_retry(await claimed(store, job), FAULT, 0.4)
    waiting = await document(database, job)
    assert waiting["state"] == "retry_wait"
    assert waiting["retry_at"] == waiting["dispatch_at"] == waiting["updated_at"] + timedelta(seconds=0.4)
    assert "lease_until" not in waiting
    assert await store.claim(job.tenant, "w", LONG) is None
    lease = await passed(store, job)
    assert lease.job.attempt == 2
    assert lease.job.started_at is not None
    # The server's clock decides, and it has passed the time that was set.
    assert lease.job.updated_at >= waiting["retry_at"]


async def test_a_job_given_back_is_due_immediately_and_keeps_its_attempts(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job())
    assert await store.give_back(await claimed(store, job))
    back = await document(database, job)
    assert (back["state"], back["attempt"], back["fence"]) == ("accepted", 0, 1)
    assert back["dispatch_at"] == back["updated_at"]
    assert "lease_until" not in back
    assert (await claimed(store, job)).job.fence == 2


async def test_a_heartbeat_keeps_the_lease_and_shows_progress(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job())
    lease = await claimed(store, job, 1.0)
    before = await document(database, job)
    assert await heartbeat(store, lease, processed=41)
    after = await document(database, job)
    assert after["processed"] == 41
    assert after["lease_until"] == after["dispatch_at"] == after["updated_at"] + timedelta(seconds=LONG)
    assert after["lease_until"] > before["lease_until"]


# Ending


async def test_completing_commits_the_file_and_puts_the_event_into_its_outbox(
    store: JobStore, database: Database
) -> None:
    job = await store.accept(new_job())
    lease = await claimed(store, job)
    warning = ErrorInfo("text_cut", "1 text was cut.")
    assert await store.complete(lease, FinishedFile(FILE, {"products": 7, "suppliers": 2}, (warning,), LONG))
    done = await store.get("acme", job.id)
    assert done is not None
    assert (done.state, done.artifact, done.records) == (JobState.COMPLETED, FILE, {"products": 7, "suppliers": 2})
    assert (done.processed, done.warnings, done.error, done.stage) == (9, (warning,), None, "")
    kept = await document(database, job)
    assert kept["event_at"] == kept["finished_at"] == kept["updated_at"]
    assert kept["expires_at"] == kept["finished_at"] + timedelta(seconds=LONG)
    assert not kept.keys() & {"dispatch_at", "retry_at", "lease_until", "lease_owner"}
    assert not await completed(store, lease)


async def test_a_completed_job_forgets_the_fault_of_an_earlier_attempt(store: JobStore) -> None:
    job = await store.accept(new_job())
    await store.wait_for_retry(await claimed(store, job), FAULT, 0.0)
    assert await completed(store, await claimed(store, job))
    done = await store.get("acme", job.id)
    assert done is not None and done.error is None


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.RUNNING, JobState.RETRY_WAIT])
async def test_each_live_state_can_be_cancelled(store: JobStore, database: Database, state: JobState) -> None:
    job = await store.accept(new_job())
    lease = await claimed(store, job) if state is not JobState.ACCEPTED else None
    if lease is not None and state is JobState.RETRY_WAIT:
        await store.wait_for_retry(lease, FAULT, 0.0)
    cancelled = await store.cancel("acme", job.id)
    assert cancelled is not None and cancelled.state is JobState.CANCELLED
    kept = await document(database, job)
    assert kept["event_at"] == kept["finished_at"]
    assert not kept.keys() & {"dispatch_at", "retry_at", "lease_until", "lease_owner"}
    assert await store.claim(job.tenant, "w", LONG) is None
    if lease is not None:
        assert not await heartbeat(store, lease)
        assert not await completed(store, lease)


async def test_an_ended_job_cannot_be_cancelled(store: JobStore) -> None:
    job = await store.accept(new_job())
    await completed(store, await claimed(store, job))
    assert await store.cancel("acme", job.id) is None
    assert await store.retry("acme", job.id) is None


async def test_one_of_a_concurrent_cancellation_and_commit_wins(store: JobStore) -> None:
    for _ in range(20):
        job = await store.accept(new_job())
        lease = await claimed(store, job)
        cancelled, committed = await asyncio.gather(store.cancel("acme", job.id), completed(store, lease))
        assert (cancelled is not None) != committed
        found = await store.get("acme", job.id)
        assert found is not None
        assert found.state is (JobState.COMPLETED if committed else JobState.CANCELLED)


async def test_a_retry_starts_over_and_keeps_old_workers_out(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job(max_attempts=1))
    old = await claimed(store, job)
    assert await store.fail(old, FAULT)
    again = await store.retry("acme", job.id)
    assert again is not None
    assert (again.state, again.attempt, again.fence) == (JobState.ACCEPTED, 0, 1)
    assert (again.error, again.started_at, again.finished_at, again.total) == (None, None, None, None)
    kept = await document(database, job)
    assert kept["dispatch_at"] == kept["updated_at"] + timedelta(seconds=PUBLISH_SECONDS)
    new = await claimed(store, job)
    assert new.job.fence == 2
    assert not await completed(store, old)


async def test_every_end_is_reported_also_if_the_job_was_restarted_before(store: JobStore) -> None:
    job = await store.accept(new_job(max_attempts=1))
    await store.fail(await claimed(store, job), FAULT)
    [taken] = await store.take_events("tests", 0.0, 100)
    await store.retry("acme", job.id)
    await store.cancel("acme", job.id)
    await store.events_sent([taken])
    [both] = await report_ends(store)
    assert [(end.state, end.code) for end in both.ends] == [(JobState.FAILED, FAULT.code), (JobState.CANCELLED, "")]
    assert await report_ends(store) == []
    await store.retry("acme", job.id)
    await completed(store, await claimed(store, job))
    [last] = await report_ends(store)
    assert [(end.state, end.rows) for end in last.ends] == [(JobState.COMPLETED, 7)]


async def test_the_end_that_an_older_version_stored_is_reported(store: JobStore, database: Database) -> None:
    job = await store.accept(new_job(max_attempts=1))
    await store.fail(await claimed(store, job), FAULT)
    await database["jobs"].update_one({"_id": job.id}, {"$unset": {"ends": ""}})
    [taken] = await report_ends(store)
    assert [(end.state, end.code) for end in taken.ends] == [(JobState.FAILED, FAULT.code)]
    assert await report_ends(store) == []


async def test_only_a_job_whose_end_is_reported_can_be_deleted(store: JobStore) -> None:
    job = await store.accept(new_job())
    assert await store.delete("acme", job.id) is None
    await store.cancel("acme", job.id)
    assert await store.delete("acme", job.id) is None
    await report_ends(store)
    assert await store.delete("acme", job.id) is not None
    assert await store.get("acme", job.id) is None


# The outboxes


async def test_a_job_is_due_until_its_wake_up_is_stored(store: JobStore, database: Database) -> None:
    first, second = [await store.accept(new_job()) for _ in range(2)]
    assert await store.due(10) == []  # the requests that stored them publish them
    for job in (first, second):
        await database["jobs"].update_one({"_id": job.id}, [{"$set": {"dispatch_at": "$$NOW"}}])
    due = await store.due(10)
    assert [job.id for job in due] == [first.id, second.id]
    assert [job.id for job in await store.due(1)] == [first.id]
    await store.dispatched(due[:1])
    assert [job.id for job in await store.due(10)] == [second.id]
    assert await store.dispatched_count() == 1
    assert await store.dispatch_again() == 1
    assert [job.id for job in await store.due(10)] == [second.id, first.id]


async def test_a_job_that_was_claimed_meanwhile_stays_due_at_the_end_of_its_lease(
    store: JobStore, database: Database
) -> None:
    job = await store.accept(new_job())
    await claimed(store, job, lease=OVER)
    await store.dispatched([job])
    assert "dispatch_at" in await document(database, job)

    async def due() -> list[Job]:
        return await store.due(10)

    [found] = await eventually("the lease has run out", due)
    assert (found.id, found.state) == (job.id, JobState.RUNNING)


async def test_an_event_is_due_until_it_was_sent(database: Database, store: JobStore) -> None:
    job = await store.accept(new_job())
    await store.cancel("acme", job.id)
    assert [taken.id for taken in await store.take_events("one", 0.2, 10)] == [job.id]
    assert await store.take_events("other", 0.2, 10) == []
    again = await eventually("it is due again", lambda: store.take_events("other", 0.2, 10))
    await store.events_sent(again)
    assert not {"event_at", "event_owner"} & set(await document(database, job))


async def test_events_are_taken_in_batches_each_by_one(store: JobStore) -> None:
    jobs = [await store.accept(new_job(id=f"job-{number}")) for number in range(9)]
    for job in jobs:
        await store.cancel("acme", job.id)
    takers = (store.take_events(f"taker-{number}", LONG, 4) for number in range(4))
    taken = [job.id for batch in await asyncio.gather(*takers) for job in batch]
    while batch := await store.take_events("last", LONG, 4):
        taken += [job.id for job in batch]
    assert sorted(taken) == sorted(job.id for job in jobs)


async def test_an_event_that_was_sent_late_does_not_remove_that_of_a_later_end(store: JobStore) -> None:
    job = await store.accept(new_job())
    await store.cancel("acme", job.id)
    first = await store.take_events("me", LONG, 1)
    await store.retry("acme", job.id)
    await eventually("the clock has moved", lambda: store.cancel("acme", job.id))
    await store.events_sent(first)
    assert [one.id for one in await store.take_events("me", LONG, 1)] == [job.id]


# Cleaning up


async def test_a_file_expires_once_when_its_time_is_over(store: JobStore) -> None:
    over, kept = await store.accept(new_job()), await store.accept(new_job())
    await completed(store, await claimed(store, over), keep=0.0)
    await completed(store, await claimed(store, kept))
    expired = await store.expire_one()
    assert expired is not None and (expired.id, expired.state) == (over.id, JobState.EXPIRED)
    assert await store.expire_one() is None


async def test_only_old_ended_jobs_without_a_file_are_forgotten(store: JobStore) -> None:
    done, failed, waiting = [await store.accept(new_job()) for _ in range(3)]
    await completed(store, await claimed(store, done))
    await store.fail(await claimed(store, failed), FAULT)
    assert await store.forget(0.0) == 0, "their ends are not reported"
    await report_ends(store)
    assert await store.forget(LONG) == 0
    assert await eventually("one is old enough", lambda: store.forget(0.0)) == 1
    assert set(await store.by_ids([done.id, failed.id, waiting.id])) == {done.id, waiting.id}


async def test_the_age_of_the_oldest_live_job_is_known(store: JobStore, database: Database) -> None:
    assert await store.oldest_live_age() == 0.0
    job = await store.accept(new_job())
    hour_ago = job.created_at - timedelta(hours=1)
    await database["jobs"].update_one({"_id": job.id}, {"$set": {"created_at": hour_ago}})
    assert 3_600 <= await store.oldest_live_age() < 3_700
    assert 3_600 <= await store.oldest_waiting_age() < 3_700
    lease = await claimed(store, job)
    assert (await store.oldest_live_age() > 3_600, await store.oldest_waiting_age()) == (True, 0.0)
    await store.wait_for_retry(lease, FAULT, LONG)
    assert await store.oldest_waiting_age() == 0.0
    await store.cancel("acme", job.id)
    assert await store.oldest_live_age() == 0.0
    # Who retries an old job does not wait since it was created: alerts and autoscaling go by this age.
    await store.retry("acme", job.id)
    await store.accept(new_job())
    assert await store.oldest_live_age() < 60
