"""Every state change of a delivery is one compare-and-set that a lost lease, an end or another state refuses."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chassis import mongo
from services.chassis.faults import ErrorInfo
from services.delivery.deliveries.delivery import DeliveryState, File, NewDelivery, Progress, Receipt
from services.delivery.deliveries.store import DeliveryStore, Lease

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)
FILE = File("t/j/1/p.csv", "p.csv", ".csv", "text/csv", 10, "0" * 64, "csv", "", AT)
RECEIPT = Receipt("folder/p.csv", "", 10, "0" * 64, {"etag": "$x.y"}, 1.5, was_there=False)
ERROR = ErrorInfo("unreachable", "$$NOW is no answer", "connect")


@pytest.fixture
async def deliveries(database: mongo.Database) -> DeliveryStore:
    store = DeliveryStore(database)
    await store.prepare()
    return store


def new(job_id: str = "j1", platform_id: str = "p1", *, tenant: str = "acme", max_attempts: int = 3) -> NewDelivery:
    return NewDelivery(tenant, job_id, platform_id, "$name", "sftp", FILE, max_attempts)


async def claimed(store: DeliveryStore, seconds: float = 60.0) -> Lease:
    lease = await store.claim("acme", "me", seconds)
    assert lease is not None
    return lease


async def state(store: DeliveryStore) -> DeliveryState:
    found = await store.get("acme", new().ids[0])
    assert found is not None
    return found.state


async def test_a_delivery_is_stored_once_however_often_it_is_added(deliveries: DeliveryStore) -> None:
    made = await asyncio.gather(*(deliveries.add(new()) for _ in range(10)))
    assert len({one.created_at for one in made}) == 1
    lease = await claimed(deliveries)
    again = await deliveries.add(new())
    assert (again.state, again.fence) == (DeliveryState.SENDING, lease.delivery.fence)


async def test_values_with_dollar_signs_are_stored_unchanged(deliveries: DeliveryStore) -> None:
    added = await deliveries.add(new())
    assert (added.platform_name, added.file, added.state) == ("$name", FILE, DeliveryState.PENDING)
    lease = await claimed(deliveries)
    assert await deliveries.settle_name(lease, "$$ROOT.csv")
    assert await deliveries.wait_for_retry(lease, ERROR, 0)
    found = await deliveries.get("acme", added.id)
    assert found is not None
    assert (found.remote_name, found.error, found.attempts[0].error) == ("$$ROOT.csv", ERROR, ERROR)
    assert await deliveries.complete(await claimed(deliveries), RECEIPT)
    done = await deliveries.get("acme", added.id)
    assert done is not None
    assert (done.receipt, done.error, done.notes, done.due_at) == (RECEIPT, None, {}, None)


async def test_another_tenant_has_no_such_delivery(deliveries: DeliveryStore) -> None:
    await deliveries.add(new(), failed=ERROR)
    assert await deliveries.get("other", new().ids[0]) is None
    assert await deliveries.restart("other", new().ids[0], frozenset({DeliveryState.FAILED})) is None


async def test_one_of_many_concurrent_claims_gets_the_delivery(deliveries: DeliveryStore) -> None:
    await deliveries.add(new())
    leases = await asyncio.gather(*(deliveries.claim("acme", f"w{n}", 60) for n in range(10)))
    assert len([lease for lease in leases if lease is not None]) == 1


async def test_the_longest_due_delivery_is_claimed_first_and_busy_platforms_are_skipped(
    deliveries: DeliveryStore,
) -> None:
    await deliveries.add(new("j1", "p1"))
    await asyncio.sleep(0.005)
    await deliveries.add(new("j2", "p2"))
    assert (await claimed(deliveries)).delivery.platform_id == "p1"
    await deliveries.add(new("j3", "p1"))
    lease = await deliveries.claim("acme", "me", 60, busy=["p1"])
    assert lease is not None
    assert lease.delivery.platform_id == "p2"
    assert await deliveries.claim("acme", "me", 60, busy=["p1"]) is None


async def test_a_lease_that_has_run_out_is_taken_over_and_the_first_holder_can_change_nothing(
    deliveries: DeliveryStore,
) -> None:
    await deliveries.add(new())
    first = await claimed(deliveries, seconds=0)
    second = await claimed(deliveries)
    assert (second.delivery.fence, second.delivery.attempt) == (2, 2)
    assert [a.error.code for a in second.delivery.attempts if a.error] == ["interrupted"]
    assert not await deliveries.heartbeat(first, Progress(sent=1), 60)
    assert not await deliveries.settle_name(first, "x")
    assert not await deliveries.keep_note(first, "id", "x")
    assert not await deliveries.complete(first, RECEIPT)
    assert not await deliveries.fail(first, ERROR)
    assert not await deliveries.wait_for_retry(first, ERROR, 1)
    assert not await deliveries.give_back(first)
    found = await deliveries.get("acme", new().ids[0])
    assert found is not None
    assert (found.state, found.fence, found.remote_name) == (DeliveryState.SENDING, 2, None)


async def test_a_heartbeat_keeps_the_lease_and_tells_of_progress(deliveries: DeliveryStore) -> None:
    await deliveries.add(new())
    lease = await claimed(deliveries, seconds=0)
    assert await deliveries.heartbeat(lease, Progress(sent=7, is_verifying=True), 60)
    found = await deliveries.get("acme", new().ids[0])
    assert found is not None
    assert (found.state, found.bytes_sent) == (DeliveryState.VERIFYING, 7)
    assert await deliveries.claim("acme", "other", 60) is None
    assert await deliveries.complete(lease, RECEIPT)


async def test_what_waits_is_not_claimed_before_its_time(deliveries: DeliveryStore) -> None:
    await deliveries.add(new())
    assert await deliveries.wait_for_retry(await claimed(deliveries), ERROR, 60)
    assert await deliveries.claim("acme", "me", 60) is None
    assert await state(deliveries) is DeliveryState.RETRY_WAIT


async def test_a_delivery_given_back_is_due_immediately_and_keeps_its_attempts(deliveries: DeliveryStore) -> None:
    await deliveries.add(new())
    assert await deliveries.give_back(await claimed(deliveries))
    lease = await claimed(deliveries)
    assert (lease.delivery.attempt, lease.delivery.fence, lease.delivery.attempts) == (1, 2, ())


async def test_a_delivery_that_ended_its_process_each_time_is_given_up(deliveries: DeliveryStore) -> None:
    await deliveries.add(new(max_attempts=2))
    assert await deliveries.give_up_one(ERROR) is None
    await claimed(deliveries, seconds=0)
    await claimed(deliveries, seconds=0)
    assert await deliveries.claim("acme", "me", 60) is None
    ended = await deliveries.give_up_one(ERROR)
    assert ended is not None
    assert (ended.state, ended.error, len(ended.attempts)) == (DeliveryState.FAILED, ERROR, 2)
    assert await deliveries.give_up_one(ERROR) is None


async def test_only_a_restart_changes_an_ended_delivery(deliveries: DeliveryStore) -> None:
    await deliveries.add(new())
    lease = await claimed(deliveries)
    assert await deliveries.settle_name(lease, "p.csv")
    assert await deliveries.fail(lease, ERROR)
    assert not await deliveries.complete(lease, RECEIPT)
    assert not await deliveries.heartbeat(lease, Progress(sent=1), 60)
    assert await deliveries.claim("acme", "me", 60) is None
    assert await deliveries.restart("acme", new().ids[0], frozenset({DeliveryState.DELIVERED})) is None
    anew = await deliveries.restart("acme", new().ids[0], frozenset({DeliveryState.FAILED}))
    assert anew is not None
    assert (anew.state, anew.attempt, anew.fence, anew.attempts) == (DeliveryState.PENDING, 0, 1, ())
    assert (anew.remote_name, anew.error) == ("p.csv", None)


@pytest.mark.parametrize("live", sorted(DeliveryState))
async def test_only_an_ended_delivery_can_be_restarted(
    deliveries: DeliveryStore, database: mongo.Database, live: DeliveryState
) -> None:
    await deliveries.add(new())
    await database["deliveries"].update_one({}, {"$set": {"state": live.value}})
    again = await deliveries.restart("acme", new().ids[0], frozenset(DeliveryState))
    assert (again is not None) == (live in (DeliveryState.DELIVERED, DeliveryState.FAILED))


async def test_the_last_twenty_attempts_are_kept(deliveries: DeliveryStore) -> None:
    await deliveries.add(new(max_attempts=100))
    for _ in range(22):
        assert await deliveries.wait_for_retry(await claimed(deliveries), ERROR, 0)
    found = await deliveries.get("acme", new().ids[0])
    assert found is not None
    assert (len(found.attempts), found.attempt) == (20, 22)
    assert list(found.attempts) == sorted(found.attempts, key=lambda past: past.started_at)


async def test_notes_are_kept_replaced_and_forgotten(deliveries: DeliveryStore) -> None:
    await deliveries.add(new())
    lease = await claimed(deliveries)
    assert await deliveries.keep_note(lease, "id", "$1")
    assert await deliveries.keep_note(lease, "url", "u")
    assert await deliveries.keep_note(lease, "id", None)
    [noted] = await deliveries.noted()
    assert noted.notes == {"url": "u"}
    assert not await deliveries.replace_note(noted.id, "url", "other", "v")
    assert await deliveries.replace_note(noted.id, "url", "u", "v")
    assert await deliveries.complete(lease, RECEIPT)
    assert await deliveries.noted() == []


async def test_only_what_waits_for_a_platform_fails_when_it_is_removed(deliveries: DeliveryStore) -> None:
    for number in range(3):
        await deliveries.add(new(f"j{number}", "p1"))
    other = await deliveries.add(new("j9", "p2"))
    sending = (await claimed(deliveries)).delivery.id
    assert await deliveries.fail_waiting("p1", ERROR) == 2
    page: Any = await deliveries.page("acme", job_id="", platform_id="", states=[], after=None, limit=10)
    states = {one.id: one.state for one in page}
    assert states[sending] is DeliveryState.SENDING
    assert states[other.id] is DeliveryState.PENDING
    assert sorted(states.values()) == ["failed", "failed", "pending", "sending"]


async def test_old_ends_are_forgotten_and_live_ones_never(deliveries: DeliveryStore, database: mongo.Database) -> None:
    await deliveries.add(new("j1"), failed=ERROR)
    await deliveries.add(new("j2"), failed=ERROR)
    await deliveries.add(new("j3"))
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await deliveries.ends_recorded(await deliveries.with_ends(1))
    where = {"_id": {"$in": [new("j1").ids[0], new("j3").ids[0]]}}
    await database["deliveries"].update_many(where, {"$set": {"updated_at": long_ago}})
    assert await deliveries.forget(86_400) == 1
    assert await deliveries.get("acme", new("j1").ids[0]) is None


async def test_the_age_of_the_oldest_live_delivery_is_reported(
    deliveries: DeliveryStore, database: mongo.Database
) -> None:
    assert await deliveries.oldest_live_age() == 0
    await deliveries.add(new("j1"), failed=ERROR)
    assert await deliveries.oldest_live_age() == 0
    await deliveries.add(new("j2"))
    hour_ago = {"$set": {"created_at": datetime.now(UTC) - timedelta(hours=1)}}
    await database["deliveries"].update_many({}, hour_ago)
    assert 3_600 <= await deliveries.oldest_live_age() < 3_660


async def test_pages_go_on_after_the_position_and_are_narrowed(deliveries: DeliveryStore) -> None:
    for number in range(5):
        await deliveries.add(new(f"j{number}", f"p{number % 2}"), failed=ERROR if number < 2 else None)

    async def page(**more: Any) -> list[str]:
        asked = {"job_id": "", "platform_id": "", "states": [], "after": None, "limit": 100, **more}
        return [one.job_id for one in await deliveries.page("acme", **asked)]

    everything = await deliveries.page("acme", job_id="", platform_id="", states=[], after=None, limit=100)
    third = everything[2]
    assert await page(limit=3) == [one.job_id for one in everything[:3]]
    assert await page(after=(third.created_at, third.id)) == [one.job_id for one in everything[3:]]
    assert set(await page(platform_id="p1")) == {"j1", "j3"}
    assert await page(job_id="j4") == ["j4"]
    assert set(await page(states=[DeliveryState.FAILED])) == {"j0", "j1"}


async def test_a_request_with_a_key_shares_the_delivery_that_is_under_way(deliveries: DeliveryStore) -> None:
    await deliveries.add(new("j1"))  # by the completion of the job
    keyed = replace(new("j1"), request_key="once")
    assert await deliveries.join(new("j2")) is None
    assert await deliveries.join(replace(new("j2"), request_key="once")) is None
    shared = await deliveries.join(keyed)
    assert shared is not None
    assert await deliveries.complete(await claimed(deliveries), RECEIPT)
    found = await deliveries.requested(keyed)
    assert found is not None
    assert found.id == shared.id
    assert await deliveries.restart_for(keyed) is None, "it was requested with this key"
