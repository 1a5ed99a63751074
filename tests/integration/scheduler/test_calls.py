"""The scheduler's calls over gRPC: what they refuse and by which field, lists, manual runs, times to come."""

import asyncio
import itertools
import threading
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.scheduler import service
from services.scheduler.schedules.spec import cron_of
from services.wire import scheduler_pb2 as pb
from tests.integration.exporting import DEADLINE, exporter, new_tenant, refused
from tests.integration.scheduling import Scheduler, scheduler

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
MISSING = str(uuid.uuid4())

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown platform": ({"platform_id": MISSING}, "platform_id", "register the platform first"),
    "a platform that is no id": ({"platform_id": "shop"}, "platform_id", "UUID"),
    "an empty name": ({"schedule_name": " "}, "schedule_name", "printable"),
    "a name with a line break": ({"schedule_name": "a\nb"}, "schedule_name", "printable"),
    "a long name": ({"schedule_name": "x" * 201}, "schedule_name", "200"),
    "seven fields": ({"cron_expression": "0 0 9 * * * 2026"}, "cron_expression", "five"),
    "no expression": ({"cron_expression": ""}, "cron_expression", ""),
    "a minute out of range": ({"cron_expression": "61 * * * *"}, "cron_expression", "minute"),
    "a date that never comes": ({"cron_expression": "0 0 30 2 *"}, "cron_expression", "never"),
    "an unknown zone": ({"timezone": "Mars/Base"}, "timezone", "Mars/Base"),
    "an unknown format": ({"format": "pdf"}, "format", "csv"),
    "options that are no JSON": ({"options_json": "{"}, "options_json", "JSON"),
    "options that are very long": ({"options_json": f'{{"file_name": "{"x" * 262_144}"}}'}, "options_json", "262144"),
    "options that are no object": ({"options_json": "[]"}, "options_json", "object"),
    "an option of no meaning": ({"options_json": '{"colour": 1}'}, "options_json.colour", "not an option"),
    "a delimiter there is none of": ({"options_json": '{"delimiter": "x"}'}, "options_json.delimiter", ""),
    "a number that is none": ({"options_json": '{"filters": {"price": NaN}}'}, "options_json", "NaN"),
    "a filter with a dollar": ({"options_json": '{"filters": {"$where": "1"}}'}, "options_json.filters.$where", ""),
    "an unknown profile": ({"profile_id": MISSING}, "profile_id", "create the profile first"),
    "a profile that is no id": ({"profile_id": "first"}, "profile_id", "UUID"),
    "a profile with a format": ({"profile_id": MISSING, "format": "csv"}, "profile_id", "must be alone"),
    "platforms in options": (
        {"options_json": '{"platform_ids": []}'},
        "options_json.platform_ids",
        "schedule's platform",
    ),
    "an unknown policy": ({"misfire": 99}, "misfire", "latest or skip or all"),
    "an unknown overlap": ({"overlap": 99}, "overlap", "skip or queue"),
    "a delay of more than an hour": ({"jitter_seconds": 3_601}, "jitter", "3600"),
    "a negative delay": ({"jitter_seconds": -1}, "jitter", "0"),
}


@pytest.fixture
async def kept(undone: Scheduler) -> pb.Schedule:
    """A schedule that does not fire soon."""
    return await undone.create()


async def test_an_invalid_field_is_rejected_on_create_and_on_update(undone: Scheduler, kept: pb.Schedule) -> None:
    for what, (bad, field, word) in BAD.items():
        async with refused(INVALID, "invalid_request") as made:
            await undone.create(**bad)
        async with refused(INVALID, "invalid_request") as changed:
            await undone.update(kept, **bad)
        for told in (made, changed):
            assert list(told.fields) == [field], (what, told.fields)
            assert word in told.fields[field], (what, told.fields)
    assert await undone.get(kept) == kept


async def test_all_invalid_fields_are_reported_together(undone: Scheduler) -> None:
    async with refused(INVALID, "invalid_request") as told:
        await undone.create("x", schedule_name="", platform_id="x", options_json="1", misfire=99, jitter_seconds=-1)
    fields = {"cron_expression", "schedule_name", "platform_id", "options_json", "misfire", "jitter"}
    assert set(told.fields) == fields


async def test_a_platform_that_is_not_active_is_refused_also_when_its_schedule_is_resumed(undone: Scheduler) -> None:
    sleeping = undone.platforms.add(is_active=False)
    async with refused(INVALID, "invalid_request") as told:
        await undone.create(platform_id=sleeping)
    assert told.fields == {"platform_id": "is not active; activate the platform first"}
    schedule = await undone.create(is_active=False)
    undone.platforms.inactive.add(schedule.platform_id)
    async with refused(INVALID, "invalid_request") as told:
        await undone.update(schedule, is_active=True)
    assert list(told.fields) == ["platform_id"]
    await undone.update(schedule, schedule_name="Other")  # what does not start it needs no platform


async def test_without_a_delivery_service_there_are_no_platforms(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    async with (
        exporter(clean_uri, nats_url, tmp_path) as exporting,
        scheduler(clean_uri, nats_url, exporting.running.rpc_port, new_tenant(), delivery_address=None) as alone,
        refused(INVALID, "invalid_request") as told,
    ):
        await alone.create()
    assert "DELIVERY_ADDRESS" in told.fields["platform_id"]


async def test_a_schedule_has_its_defaults_and_shows_what_it_was_given(undone: Scheduler, kept: pb.Schedule) -> None:
    assert (kept.timezone, kept.format, kept.options_json, kept.misfire, kept.overlap, kept.is_active) == (
        "UTC",
        "csv",
        "{}",
        pb.MISFIRE_POLICY_LATEST,
        pb.OVERLAP_POLICY_SKIP,
        True,
    )
    assert kept.next_run_at.ToJsonString().endswith("-01-01T00:00:00Z")
    text = '{"filters": {"price": {"gte": 1.00000000000000000001}}}'
    other = await undone.create(
        "30 2 * * *",
        timezone="Europe/Paris",
        options_json=text,
        format="json",
        misfire="all",
        overlap="queue",
        schedule_name=" Prices ",
        jitter_seconds=30,
    )
    assert await undone.get(other) == other
    assert (other.options_json, other.schedule_name, other.timezone) == (text, "Prices", "Europe/Paris")
    assert (other.format, other.jitter.seconds) == ("json", 30)
    assert (other.misfire, other.overlap) == (pb.MISFIRE_POLICY_ALL, pb.OVERLAP_POLICY_QUEUE)


async def test_a_repeated_creation_with_one_id_makes_one_schedule(undone: Scheduler) -> None:
    asked: dict[str, Any] = {"schedule_id": str(uuid.uuid4()), "platform_id": undone.platforms.add()}
    made = await undone.create(**asked)
    assert await undone.create(**asked) == made
    for other in ({"options_json": '{"utf8_bom": false}'}, {"schedule_name": "Other"}, {"tenant": "other"}):
        async with refused(grpc.StatusCode.ALREADY_EXISTS, "schedule_id_reused"):
            await undone.create(**{**asked, **other})
    async with refused(INVALID, "invalid_request") as told:
        await undone.create(schedule_id="x")
    assert list(told.fields) == ["schedule_id"]


async def test_another_tenant_sees_and_changes_nothing(undone: Scheduler, kept: pb.Schedule) -> None:
    stranger = pb.Schedule(id=kept.id, tenant="stranger")
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.get(stranger)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.delete(stranger)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.run(stranger)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.update(stranger, is_active=False)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.stub.ListRuns(pb.ListRunsRequest(tenant="stranger", schedule_id=kept.id), timeout=DEADLINE)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.stub.ListUpcomingTimes(
            pb.ListUpcomingTimesRequest(tenant="stranger", schedule_id=kept.id), timeout=DEADLINE
        )
    listed = await undone.stub.ListSchedules(pb.ListSchedulesRequest(tenant="stranger"), timeout=DEADLINE)
    assert not listed.schedules
    assert await undone.get(kept) == kept


async def test_a_deleted_schedule_does_not_fire(undone: Scheduler, kept: pb.Schedule) -> None:
    await undone.delete(kept)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.get(kept)
    async with refused(NOT_FOUND, "schedule_not_found"):
        await undone.delete(kept)


async def test_lists_come_page_by_page_newest_first(undone: Scheduler) -> None:
    shared = undone.platforms.add()
    made = [(await undone.create(platform_id=shared if n % 2 else undone.platforms.add())).id for n in range(7)]

    async def pages(limit: int, **more: Any) -> list[list[str]]:
        found, cursor = [], ""
        while True:
            request = pb.ListSchedulesRequest(tenant=undone.tenant, page_size=limit, page_token=cursor, **more)
            page = await undone.stub.ListSchedules(request, timeout=DEADLINE)
            found.append([one.id for one in page.schedules])
            cursor = page.next_page_token
            if not cursor:
                return found

    assert await pages(3) == [made[:3:-1], made[3:0:-1], made[:1]]
    assert await pages(7) == [made[::-1]]
    assert await pages(0) == [made[::-1]]
    assert await pages(50, platform_id=shared) == [made[1::2][::-1]]
    async with refused(INVALID, "invalid_request") as told:
        await undone.stub.ListSchedules(pb.ListSchedulesRequest(tenant=undone.tenant, page_token="?"), timeout=DEADLINE)
    assert list(told.fields) == ["page_token"]


async def test_runs_come_page_by_page_newest_first_and_the_newest_is_on_the_schedule(undone: Scheduler) -> None:
    schedule = await undone.create()
    ids = [(await undone.run(schedule)).id for _ in range(5)]
    found, cursor = [], ""
    for expected in (2, 2, 1):
        request = pb.ListRunsRequest(tenant=undone.tenant, schedule_id=schedule.id, page_size=2, page_token=cursor)
        page = await undone.stub.ListRuns(request, timeout=DEADLINE)
        assert len(page.runs) == expected
        found += [run.id for run in page.runs]
        cursor = page.next_page_token
    assert cursor == ""
    assert found == ids[::-1]
    assert (await undone.get(schedule)).last_run.id == ids[-1]


async def test_a_tenant_may_have_so_many_schedules_and_a_repeated_one_counts_once(undone: Scheduler) -> None:
    asked: dict[str, Any] = {"schedule_id": str(uuid.uuid4()), "platform_id": undone.platforms.add()}
    made = await undone.create(**asked)
    document = await undone.schedules.find_one({"_id": made.id})
    assert document is not None
    await undone.schedules.insert_many([{**document, "_id": str(uuid.uuid4())} for _ in range(9_999)])
    async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_schedules"):
        await undone.create()
    assert await undone.create(**asked) == made


# Manual runs


async def test_a_manual_run_starts_immediately_even_if_the_schedule_is_paused(scheduling: Scheduler) -> None:
    schedule = await scheduling.create(is_active=False)
    run = await scheduling.run(schedule)
    assert (run.state, run.is_manual, run.schedule_id) == (pb.RUN_STATE_WAITING, True, schedule.id)
    await scheduling.until_run(run.id, "completed", within=10)
    assert not (await scheduling.get(schedule)).HasField("next_run_at")


async def test_a_manual_run_waits_for_no_other_and_one_key_makes_one(undone: Scheduler) -> None:
    schedule = await undone.create()
    first = await undone.run(schedule, "order-1")
    second = await undone.run(schedule, "order-2")
    for run in (first, second):
        await undone.until_run(run.id, "submitted")
    again = await undone.run(schedule, "order-1")
    assert (again.id, again.state) == (first.id, pb.RUN_STATE_SUBMITTED)
    assert len(await undone.runs_of(schedule)) == 2
    other = await undone.create()
    assert (await undone.run(other, "order-1")).id != first.id


# Times to come


async def test_a_preview_tells_of_clock_changes(undone: Scheduler) -> None:
    request = pb.PreviewScheduleRequest(cron_expression="30 2 * * *", timezone="Europe/Paris", count=100)
    times = (await undone.stub.PreviewSchedule(request, timeout=DEADLINE)).times
    assert len(times) == 100
    assert [one.at.ToJsonString() for one in times] == sorted(one.at.ToJsonString() for one in times)
    offsets = {one.utc_offset for one in times}
    assert offsets <= {"+01:00", "+02:00"}
    assert all(one.local.endswith(one.utc_offset) for one in times)
    noted = [one for one in times if one.note]
    assert len(noted) <= 1  # a hundred days hold one change at most, and these tests run at any time of the year
    assert noted or len(offsets) == 1


@pytest.mark.parametrize(
    ("expression", "timezone", "field"),
    [("61 * * * *", "UTC", "cron_expression"), ("0 0 * * *", "Mars/Base", "timezone")],
)
async def test_a_preview_of_what_cannot_be_says_so(
    undone: Scheduler, expression: str, timezone: str, field: str
) -> None:
    async with refused(INVALID, "invalid_request") as told:
        request = pb.PreviewScheduleRequest(cron_expression=expression, timezone=timezone)
        await undone.stub.PreviewSchedule(request, timeout=DEADLINE)
    assert list(told.fields) == [field]


async def test_a_long_search_does_not_block_the_event_loop(undone: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    searching, may_end = threading.Event(), threading.Event()

    def search(*args: Any) -> Any:
        searching.set()
        assert may_end.wait(DEADLINE), "nothing else could run meanwhile"
        return cron_of(*args)

    monkeypatch.setattr(service, "cron_of", search)
    request = pb.PreviewScheduleRequest(cron_expression="0 9 * * *", timezone="Europe/Paris", count=1)
    answer = asyncio.ensure_future(undone.stub.PreviewSchedule(request, timeout=DEADLINE))
    while not searching.is_set():
        await asyncio.sleep(0.01)
    may_end.set()
    assert len((await answer).times) == 1


async def test_upcoming_begins_with_the_next_run_and_is_empty_while_paused(undone: Scheduler) -> None:
    schedule = await undone.create("0 9 * * *", timezone="America/New_York")
    request = pb.ListUpcomingTimesRequest(tenant=undone.tenant, schedule_id=schedule.id, count=3)
    times = (await undone.stub.ListUpcomingTimes(request, timeout=DEADLINE)).times
    assert len(times) == 3
    assert times[0].at == schedule.next_run_at
    assert all("T09:00:00-0" in one.local for one in times)
    gaps = [b.at.ToDatetime() - a.at.ToDatetime() for a, b in itertools.pairwise(times)]
    assert all(abs(gap - timedelta(days=1)) <= timedelta(hours=1) for gap in gaps)
    await undone.update(schedule, is_active=False)
    assert not (await undone.stub.ListUpcomingTimes(request, timeout=DEADLINE)).times
