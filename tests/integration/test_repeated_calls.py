"""A change whose answer is lost is repeated by gRPC's channel; the repeat is answered like the first attempt."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import functools
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from services.chassis.faults import Unavailable
from services.chassis.rpc.client import channel
from services.delivery.platforms.store import PlatformStore
from services.exporter.jobs.store import JobStore
from services.exporter.profiles.store import ProfileStore
from services.scheduler.schedules.store import ScheduleStore
from services.wire import (
    delivery_pb2,
    delivery_pb2_grpc,
    exporter_pb2_grpc,
    profiles_pb2,
    profiles_pb2_grpc,
    scheduler_pb2,
    scheduler_pb2_grpc,
)
from services.wire import exporter_pb2 as pb
from tests.integration.delivering import DeliveryFixture
from tests.integration.exporting import DEADLINE, Exporter, new_tenant, products, refused
from tests.integration.scheduling import Scheduler

Lose = Callable[[type, str], list[str]]


@pytest.fixture
def lose_answer(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Lets a method of a store do its work and then fail, the first time; returns the list of its calls."""

    def lose(store: type, name: str) -> list[str]:
        calls: list[str] = []
        work = getattr(store, name)

        @functools.wraps(work)
        async def lost(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            done = await work(*args, **kwargs)
            if len(calls) == 1:
                raise Unavailable("mongodb_unavailable", "The answer is lost.")
            return done

        monkeypatch.setattr(store, name, lost)
        return calls

    return lose


@pytest.mark.parametrize("change", ["cancel", "retry", "delete"])
async def test_a_change_of_a_job_succeeds_although_its_first_answer_is_lost(
    idle: Exporter, lose_answer: Lose, change: str
) -> None:
    tenant = new_tenant()
    await idle.fill(tenant, products(1))
    job = await idle.create(tenant)
    if change != "cancel":
        await idle.cancel(job)
    calls = lose_answer(JobStore, change)
    async with channel(f"127.0.0.1:{idle.running.rpc_port}") as repeating:
        stub = exporter_pb2_grpc.ExporterServiceStub(repeating)
        if change == "cancel":
            cancelled = await stub.CancelJob(pb.CancelJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
            assert cancelled.job.state == pb.JOB_STATE_CANCELLED
        elif change == "retry":
            retried = await stub.RetryJob(pb.RetryJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
            assert retried.job.state == pb.JOB_STATE_ACCEPTED
        else:
            await stub.DeleteJob(pb.DeleteJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
            async with refused(grpc.StatusCode.NOT_FOUND, "job_not_found"):
                await idle.delete(job)
    assert len(calls) >= 2


@pytest.mark.parametrize("change", ["change", "delete"])
async def test_a_change_of_a_profile_is_made_once_although_its_first_answer_is_lost(
    idle: Exporter, lose_answer: Lose, change: str
) -> None:
    tenant = new_tenant()
    new = profiles_pb2.CreateProfileRequest(tenant=tenant, name="Before", format="csv")
    made = (await idle.profiles.CreateProfile(new, timeout=DEADLINE)).profile
    calls = lose_answer(ProfileStore, change)
    async with channel(f"127.0.0.1:{idle.running.rpc_port}") as repeating:
        stub = profiles_pb2_grpc.ProfileServiceStub(repeating)
        which: dict[str, Any] = {"tenant": tenant, "profile_id": made.id, "expected_updated_at": made.updated_at}
        if change == "change":
            request = profiles_pb2.UpdateProfileRequest(name="After", **which)
            changed = (await stub.UpdateProfile(request, timeout=DEADLINE)).profile
            assert (changed.name, changed.version) == ("After", 2)
        else:
            await stub.DeleteProfile(profiles_pb2.DeleteProfileRequest(**which), timeout=DEADLINE)
    assert len(calls) >= 1


async def test_a_job_that_does_not_exist_cannot_be_deleted(idle: Exporter) -> None:
    async with channel(f"127.0.0.1:{idle.running.rpc_port}") as repeating:
        stub = exporter_pb2_grpc.ExporterServiceStub(repeating)
        async with refused(grpc.StatusCode.NOT_FOUND, "job_not_found"):
            await stub.DeleteJob(pb.DeleteJobRequest(tenant=new_tenant(), job_id="none"), timeout=DEADLINE)


async def test_a_platform_is_deleted_although_the_first_answer_is_lost(
    shop: DeliveryFixture, lose_answer: Lose
) -> None:
    platform = await shop.platform()
    calls = lose_answer(PlatformStore, "delete")
    async with channel(f"127.0.0.1:{shop.deliverer.running.rpc_port}") as repeating:
        request = delivery_pb2.DeletePlatformRequest(tenant=platform.tenant, platform_id=platform.id)
        await delivery_pb2_grpc.DeliveryServiceStub(repeating).DeletePlatform(request, timeout=DEADLINE)
    assert len(calls) >= 2


async def test_a_schedule_is_deleted_although_the_first_answer_is_lost(undone: Scheduler, lose_answer: Lose) -> None:
    schedule = await undone.create()
    calls = lose_answer(ScheduleStore, "delete")
    async with channel(f"127.0.0.1:{undone.running.rpc_port}") as repeating:
        request = scheduler_pb2.DeleteScheduleRequest(tenant=schedule.tenant, schedule_id=schedule.id)
        await scheduler_pb2_grpc.SchedulerServiceStub(repeating).DeleteSchedule(request, timeout=DEADLINE)
    assert len(calls) >= 2
