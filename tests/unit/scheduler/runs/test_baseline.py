"""Which job the next file with changes of a schedule is based on, whatever has become of the one before."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.scheduler.cron.misfire import Policy
from services.scheduler.runs.baseline import Base, Baselines, with_base
from services.scheduler.schedules.schedule import Overlap, Run, RunState, Schedule
from services.wire import delivery_pb2 as deliveries
from services.wire import exporter_pb2 as pb

AT = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULE = Schedule(
    id="s", tenant="acme", cron_expression="* * * * *", timezone="UTC", misfire=Policy.LATEST, jitter_seconds=0,
    planned_until=AT, next_fire_at=None, rules="", platform_id="p", name="Changes", is_active=True, format="csv",
    options_json="{}", overlap=Overlap.SKIP, created_at=AT, updated_at=AT, changes=True,
)  # fmt: skip
CHAINED = replace(SCHEDULE, head_job_id="head", baseline_job_id="base")
RUN = Run("next", "s", "acme", AT, RunState.WAITING, AT)
LIVE = ["PENDING", "SENDING", "VERIFYING", "RETRY_WAIT"]


@dataclass
class World:
    """The three that a baseline depends on: the schedule's document, the exporter's jobs, their deliveries."""

    schedule: Schedule = CHAINED
    jobs: dict[str, pb.Job] = field(default_factory=dict)
    delivery: deliveries.Delivery | None = None

    async def change(self, before: Schedule, after: Schedule) -> Schedule | None:
        if before.version != self.schedule.version:
            return None
        self.schedule = replace(after, version=before.version + 1)
        return self.schedule

    async def job(self, tenant: str, job_id: str) -> pb.Job | None:
        assert tenant == "acme"
        return self.jobs.get(job_id)

    async def of_job(self, job: pb.Job, platform_id: str) -> deliveries.Delivery | None:
        assert (job.id, platform_id) == ("head", "p")
        return self.delivery

    @property
    def baselines(self) -> Baselines:
        fake = cast(Any, self)
        return Baselines(fake, fake, fake)


def job(job_id: str, state: str = "COMPLETED", number: int = 0, **more: Any) -> pb.Job:
    changes = pb.Changes(number=number)
    return pb.Job(id=job_id, tenant="acme", state=pb.JobState.Value(f"JOB_STATE_{state}"), changes=changes, **more)


def delivery(state: str) -> deliveries.Delivery:
    return deliveries.Delivery(state=deliveries.DeliveryState.Value(f"DELIVERY_STATE_{state}"))


async def test_the_first_file_has_all_rows() -> None:
    assert await World(SCHEDULE).baselines.next(SCHEDULE) == Base()


@pytest.mark.parametrize("state", ["ACCEPTED", "RUNNING", "RETRY_WAIT"])
async def test_a_run_waits_for_the_job_of_the_one_before(state: str) -> None:
    assert await World(jobs={"head": job("head", state)}).baselines.next(CHAINED) is None


@pytest.mark.parametrize("state", LIVE)
async def test_a_run_waits_until_the_delivery_before_has_ended(state: str) -> None:
    # A file that has arrived but is not confirmed is one of these, also after a kill -9 of the delivery service.
    world = World(jobs={"head": job("head")}, delivery=delivery(state))
    assert await world.baselines.take(RUN, world.schedule) is None
    assert world.schedule == CHAINED


async def test_a_confirmed_delivery_moves_the_baseline() -> None:
    world = World(jobs={"head": job("head")}, delivery=delivery("DELIVERED"))
    assert await world.baselines.take(RUN, world.schedule) == Base("head")
    assert (world.schedule.head_job_id, world.schedule.baseline_job_id) == ("next", "head")


async def test_a_failed_delivery_does_not_move_the_baseline() -> None:
    world = World(jobs={"head": job("head")}, delivery=delivery("FAILED"))
    assert await world.baselines.take(RUN, world.schedule) == Base("base")
    assert (world.schedule.head_job_id, world.schedule.baseline_job_id) == ("next", "base")


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
async def test_a_job_without_a_file_does_not_move_the_baseline(state: str) -> None:
    assert await World(jobs={"head": job("head", state)}).baselines.next(CHAINED) == Base("base")


async def test_a_job_whose_deliveries_are_not_decided_yet_is_waited_for() -> None:
    assert await World(jobs={"head": job("head")}).baselines.next(CHAINED) is None
    decided = job("head", has_deliveries=False)
    assert await World(jobs={"head": decided}).baselines.next(CHAINED) == Base("base")


async def test_after_a_deleted_job_or_a_reset_the_file_has_all_rows() -> None:
    assert await World().baselines.next(CHAINED) == Base()
    reset = replace(CHAINED, is_baseline_reset=True)
    world = World(reset, jobs={"head": job("head", "RUNNING")})
    assert await world.baselines.take(RUN, reset) == Base()
    assert (world.schedule.head_job_id, world.schedule.is_baseline_reset) == ("next", False)


async def test_a_run_that_was_interrupted_keeps_its_base() -> None:
    world = World(jobs={"head": job("head")}, delivery=delivery("DELIVERED"))
    assert await world.baselines.take(RUN, world.schedule) == Base("head")
    world.jobs["next"] = job("next")  # it was created before the crash, and is delivered already
    assert await world.baselines.take(RUN, world.schedule) == Base("head")


async def test_a_schedule_that_was_changed_meanwhile_is_looked_at_again() -> None:
    world = World(replace(CHAINED, version=2), jobs={"head": job("head")}, delivery=delivery("DELIVERED"))
    assert await world.baselines.take(RUN, CHAINED) is None
    assert world.schedule.head_job_id == "head"


@pytest.mark.parametrize(("number", "base"), [(0, "head"), (1, "head"), (2, "")])
async def test_every_so_many_files_one_has_all_rows(number: int, base: str) -> None:
    schedule = replace(CHAINED, full_every=3)
    world = World(schedule, jobs={"head": job("head", number=number)}, delivery=delivery("DELIVERED"))
    assert await world.baselines.take(RUN, schedule) == Base(base)


def test_the_options_of_a_run_name_its_base_whatever_the_schedule_says() -> None:
    own = '{"limit": 3, "changes_since": "mine", "empty": "deliver"}'
    assert json.loads(with_base(own, Base("b"), replace(SCHEDULE, skip_empty=True))) == {
        "limit": 3, "changes_since": "b", "on_missing_baseline": "full", "empty": "skip",
    }  # fmt: skip
    assert json.loads(with_base("", Base(), SCHEDULE)) == {"manifest": True}
