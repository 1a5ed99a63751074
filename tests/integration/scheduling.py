"""A scheduler in the test's own event loop, beside an exporter, and what tests ask of it.

The clock is the server's and cannot be set. So time is simulated the other way round: `shift` moves a schedule's
clock fields into the past, which is what the schedule looks like when the whole stack has stood still for so long.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import json
import urllib.request
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from services.chassis import mongo
from services.chassis.faults import Fault, Kind
from services.chassis.rpc import errors as rpc_errors
from services.chassis.service_runtime import Running
from services.chassis.timestamps import to_duration
from services.scheduler.app import build
from services.scheduler.schedules.schedule import run_id
from services.scheduler.settings import SchedulerSettings
from services.wire import delivery_pb2, delivery_pb2_grpc, scheduler_pb2_grpc
from services.wire import scheduler_pb2 as pb
from tests.integration.exporting import DEADLINE, eventually

ENDED = {"completed", "failed", "cancelled", "skipped"}


class Platforms(delivery_pb2_grpc.DeliveryServiceServicer):
    """A delivery service that knows platforms by id and does nothing else; those of `inactive` are not active."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.inactive: set[str] = set()

    def add(self, *, is_active: bool = True) -> str:
        """A new platform's id."""
        platform_id = str(uuid.uuid4())
        self.known.add(platform_id)
        if not is_active:
            self.inactive.add(platform_id)
        return platform_id

    async def GetPlatform(  # noqa: N802  the protocol's name
        self, request: delivery_pb2.GetPlatformRequest, context: Any
    ) -> delivery_pb2.GetPlatformResponse:
        if request.platform_id not in self.known:
            await rpc_errors.abort(context, Fault("platform_not_found", "No such platform.", kind=Kind.NOT_FOUND))
        is_active = request.platform_id not in self.inactive
        platform = delivery_pb2.Platform(id=request.platform_id, tenant=request.tenant, is_active=is_active)
        return delivery_pb2.GetPlatformResponse(platform=platform)


@asynccontextmanager
async def platforms() -> AsyncIterator[tuple[Platforms, int]]:
    """Serve some platforms on a free port."""
    server, service = grpc.aio.server(), Platforms()  # type: ignore[abstract]  # all else answers UNIMPLEMENTED
    delivery_pb2_grpc.add_DeliveryServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield service, port
    finally:
        await server.stop(None)


class Scheduler:
    """One running scheduler."""

    def __init__(
        self, running: Running, channel: grpc.aio.Channel, client: mongo.Client, service: Platforms, tenant: str
    ) -> None:
        self.running = running
        self.stub = scheduler_pb2_grpc.SchedulerServiceStub(channel)
        self.schedules = client["scheduler"]["schedules"]
        self.runs = client["scheduler"]["runs"]
        self.platforms = service
        self.tenant = tenant

    async def create(self, cron: str = "0 0 1 1 *", **more: Any) -> pb.Schedule:
        """A schedule that does not fire by itself soon, unless `more` says otherwise."""
        asked: dict[str, Any] = {
            "tenant": self.tenant,
            "platform_id": self.platforms.add(),
            "schedule_name": "Nightly",
            "cron_expression": cron,
            "jitter_seconds": 0,
        }
        request = pb.CreateScheduleRequest(**_fields({**asked, **more}))
        return (await self.stub.CreateSchedule(request, timeout=DEADLINE)).schedule

    async def update(self, schedule: pb.Schedule, **change: Any) -> pb.Schedule:
        """Change what is given."""
        request = pb.UpdateScheduleRequest(tenant=schedule.tenant, schedule_id=schedule.id, **_fields(change))
        return (await self.stub.UpdateSchedule(request, timeout=DEADLINE)).schedule

    async def get(self, schedule: pb.Schedule) -> pb.Schedule:
        """The schedule as it is now."""
        request = pb.GetScheduleRequest(tenant=schedule.tenant, schedule_id=schedule.id)
        return (await self.stub.GetSchedule(request, timeout=DEADLINE)).schedule

    async def delete(self, schedule: pb.Schedule) -> None:
        """Forget it."""
        request = pb.DeleteScheduleRequest(tenant=schedule.tenant, schedule_id=schedule.id)
        await self.stub.DeleteSchedule(request, timeout=DEADLINE)

    async def run(self, schedule: pb.Schedule, key: str = "") -> pb.Run:
        """One run now."""
        request = pb.RunScheduleRequest(tenant=schedule.tenant, schedule_id=schedule.id, idempotency_key=key)
        return (await self.stub.RunSchedule(request, timeout=DEADLINE)).run

    async def runs_of(self, schedule: pb.Schedule) -> list[dict[str, Any]]:
        """All its runs as they are stored, the oldest fire time first."""
        return [run async for run in self.runs.find({"schedule_id": schedule.id}).sort("fire_at", 1)]

    async def until(self, schedule: pb.Schedule, states: Sequence[str], within: float = 30.0) -> list[dict[str, Any]]:
        """Its runs once their states are these, the oldest fire time first."""
        found: list[dict[str, Any]] = []

        async def reached() -> bool:
            found[:] = await self.runs_of(schedule)
            return [run["state"] for run in found] == list(states)

        try:
            await eventually(f"the runs are {list(states)}", reached, within)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; they are {found}") from exc
        return found

    async def until_run(self, run_id: str, state: str, within: float = 30.0) -> dict[str, Any]:
        """One run once it is in this state."""
        found: dict[str, Any] = await eventually(
            f"the run is {state}", lambda: self.runs.find_one({"_id": run_id, "state": state}), within
        )
        return found

    async def shift(self, schedule: pb.Schedule, back: timedelta) -> None:
        """Let so much time have passed with nobody there: planned long ago, and due since then."""
        await self._plan_again(schedule, datetime.now(UTC) - back)

    async def fire(self, schedule: pb.Schedule, minutes_ago: int) -> str:
        """Let exactly one fire time be due, so many minutes ago; returns the id of its run."""
        return await self.fire_at(schedule, this_minute() - timedelta(minutes=minutes_ago))

    async def fire_at(self, schedule: pb.Schedule, at: datetime) -> str:
        """Let exactly this fire time be due, a whole minute that has come; returns the id of its run."""
        await self._plan_again(schedule, at - timedelta(seconds=1), cron_expression=f"{at.minute} {at.hour} * * *")
        return run_id(schedule.id, at)

    async def _plan_again(self, schedule: pb.Schedule, after: datetime, **more: Any) -> None:
        """Due at once; the tick finds out by itself what came since."""
        soon = after + timedelta(milliseconds=1)
        fields = {"planned_until": after, "next_fire_at": soon, "due_at": soon, **more}
        await self.schedules.update_one({"_id": schedule.id}, {"$set": fields, "$inc": {"version": 1}})

    async def metrics(self) -> dict[str, float]:
        """Its metrics, as Prometheus would read them."""

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.running.metrics_port}/metrics") as answer:
                return str(answer.read().decode())

        lines = [line.rsplit(" ", 1) for line in (await asyncio.to_thread(read)).splitlines() if line[:1] != "#"]
        return {name: float(value) for name, value in lines if name.startswith("scheduler_")}

    async def planned(self, schedule: pb.Schedule, within: float = 10.0) -> None:
        """Return once nothing of it is due any more."""

        async def reached() -> bool:
            return await self.schedules.find_one({"_id": schedule.id, "due_at": {"$lte": datetime.now(UTC)}}) is None

        await eventually("the schedule is planned", reached, within)


def this_minute() -> datetime:
    """The minute that has begun last."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def every_tenth_minute() -> str:
    """A cron expression whose next fire time is five minutes away, so that it cannot come during a test."""
    return f"{(datetime.now(UTC).minute + 5) % 10}-59/10 * * * *"


@asynccontextmanager
async def scheduler(
    mongo_uri: str, nats_url: str, exporter_port: int, tenant: str, **settings: Any
) -> AsyncIterator[Scheduler]:
    """Start a scheduler with these settings on top of short pauses; the rules are the same."""
    client = mongo.connect(mongo_uri, app="tests")
    try:
        async with platforms() as (service, delivery_port):
            chosen = {
                "mongodb_uri": mongo_uri,
                "nats_url": nats_url,
                "exporter_address": f"127.0.0.1:{exporter_port}",
                "delivery_address": f"127.0.0.1:{delivery_port}",
                "grpc_port": 0,
                "metrics_port": 0,
                "tick_seconds": 0.05,
                "run_retry_seconds": 0.5,
                "shutdown_grace": 5.0,
                **settings,
            }
            async with (
                build(SchedulerSettings(**chosen)) as running,
                grpc.aio.insecure_channel(f"127.0.0.1:{running.rpc_port}") as channel,
            ):
                yield Scheduler(running, channel, client, service, tenant)
    finally:
        client.close()


def options(**given: Any) -> str:
    """Options as they travel."""
    return json.dumps(given)


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request; policies are given by their names, and the jitter in seconds."""
    fields = dict(given)
    for name, enum in (("misfire", pb.MisfirePolicy), ("overlap", pb.OverlapPolicy)):
        if isinstance(word := fields.get(name), str):
            fields[name] = enum.Value(f"{name.upper()}_POLICY_{word.upper()}")
    if (seconds := fields.pop("jitter_seconds", None)) is not None:
        fields["jitter"] = to_duration(seconds)
    return fields
