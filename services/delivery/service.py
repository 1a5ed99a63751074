"""Implements DeliveryService: platforms and deliveries."""

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import structlog

from services.chassis.faults import BadRequest, Violation
from services.chassis.paging import from_cursor, page_size
from services.chassis.rpc.requests import canonical_id, known_values, missing_is_deleted
from services.chassis.timestamps import expected_time, optional_time
from services.delivery.deliveries.delivery import PLATFORM_DELETED, Delivery, DeliveryState
from services.delivery.deliveries.fan_out import new_delivery
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.deliveries.worker import Worker
from services.delivery.destinations.contract import Destination, Step
from services.delivery.errors import DeliveryNotFound, JobNotFound, WrongState
from services.delivery.exporter_client import ExporterClient
from services.delivery.messages import FROM_STATES, delivery_message, platform_message, test_message
from services.delivery.platforms.kept_sessions import KeptSessions
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.probe import StepResult, probe
from services.delivery.platforms.registry import Change, PlatformRegistry
from services.delivery.platforms.store import PlatformStore
from services.delivery.platforms.targets import TargetResolver, UnusablePlatform
from services.delivery.running_tests import RunningTests
from services.limits import Limits
from services.wire import delivery_pb2 as pb
from services.wire import delivery_pb2_grpc, exporter_pb2

log = structlog.get_logger()

MAX_NAMED = 100
"""Platforms in a request about several: as many as an export may name."""


class DeliveryService(delivery_pb2_grpc.DeliveryServiceServicer):
    """Implements `catalog.exports.v1.DeliveryService`."""

    def __init__(
        self,
        destinations: Mapping[str, Destination],
        registry: PlatformRegistry,
        platforms: PlatformStore,
        targets: TargetResolver,
        sessions: KeptSessions,
        deliveries: DeliveryStore,
        exporter: ExporterClient,
        worker: Worker,
        limits: Limits,
        *,
        max_attempts: int,
    ) -> None:
        self._destinations = destinations
        self._registry = registry
        self._platforms = platforms
        self._targets = targets
        self._sessions = sessions
        self._deliveries = deliveries
        self._exporter = exporter
        self._worker = worker
        self._limits = limits
        self._max_attempts = max_attempts
        self._tests = RunningTests()

    async def CreatePlatform(self, request: pb.CreatePlatformRequest, context: Any) -> pb.CreatePlatformResponse:
        """Register a platform."""
        platform, is_replay = await self._registry.create(
            request.tenant,
            request.name,
            request.platform_type,
            request.config_json,
            is_active=request.is_active if request.HasField("is_active") else True,
            platform_id=request.platform_id,
        )
        if not is_replay:
            log.info(
                "platform_created", action="create", platform_id=platform.id, tenant=platform.tenant, type=platform.type
            )
        return pb.CreatePlatformResponse(platform=platform_message(platform), is_replay=is_replay)

    async def GetPlatform(self, request: pb.GetPlatformRequest, context: Any) -> pb.GetPlatformResponse:
        """One platform."""
        found = await self._registry.get(request.tenant, request.platform_id)
        return pb.GetPlatformResponse(platform=platform_message(found))

    async def BatchGetPlatforms(
        self, request: pb.BatchGetPlatformsRequest, context: Any
    ) -> pb.BatchGetPlatformsResponse:
        """Several platforms."""
        if len(request.platform_ids) > MAX_NAMED:
            raise BadRequest([Violation("platform_ids", f"must be at most {MAX_NAMED}")])
        found = await self._platforms.named(request.tenant, list(map(canonical_id, request.platform_ids)))
        return pb.BatchGetPlatformsResponse(platforms=map(platform_message, found))

    async def ListPlatforms(self, request: pb.ListPlatformsRequest, context: Any) -> pb.ListPlatformsResponse:
        """A page of a tenant's platforms, newest first."""
        size = page_size(request.page_size)
        if request.platform_type and request.platform_type not in self._destinations:
            text = f"must be one of {', '.join(sorted(self._destinations))}"
            raise BadRequest([Violation("platform_type", text)])
        found = await self._platforms.page(
            request.tenant,
            before=from_cursor(request.page_token),
            limit=size,
            name=request.name_contains,
            kind=request.platform_type,
            is_active=request.is_active if request.HasField("is_active") else None,
        )
        following = found.next_cursor(lambda one: (one.created_at, one.id))
        return pb.ListPlatformsResponse(platforms=map(platform_message, found), next_page_token=following)

    async def UpdatePlatform(self, request: pb.UpdatePlatformRequest, context: Any) -> pb.UpdatePlatformResponse:
        """Change the fields that are present."""
        change = Change(
            name=request.name if request.HasField("name") else None,
            config_json=request.config_json if request.HasField("config_json") else None,
            is_active=request.is_active if request.HasField("is_active") else None,
        )
        changed = await self._registry.update(request.tenant, request.platform_id, change, expected_time(request))
        await self._sessions.close(changed.id)
        return pb.UpdatePlatformResponse(platform=platform_message(changed))

    async def DeletePlatform(self, request: pb.DeletePlatformRequest, context: Any) -> pb.DeletePlatformResponse:
        """Delete a platform."""
        with missing_is_deleted(context):
            await self._registry.delete(request.tenant, request.platform_id, expected_time(request))
        await self._deliveries.fail_waiting(request.platform_id, PLATFORM_DELETED)
        await self._sessions.close(request.platform_id)
        log.info("platform_deleted", action="delete", platform_id=request.platform_id, tenant=request.tenant)
        return pb.DeletePlatformResponse()

    async def TestPlatform(self, request: pb.TestPlatformRequest, context: Any) -> pb.TestPlatformResponse:
        """Send a probe to a platform."""
        platform = await self._registry.get(request.tenant, request.platform_id)
        with self._tests.one_more(request.tenant):
            return await self._tested(platform)

    async def _tested(self, platform: Platform) -> pb.TestPlatformResponse:
        try:
            target = self._targets.resolve(platform)
        except UnusablePlatform as exc:
            failed = StepResult(Step.AUTHENTICATE, ok=False, seconds=0.0, code=exc.code, message=exc.message)
            return test_message([failed])
        await self._sessions.close(platform.id)  # a server may allow only one connection
        return test_message(await probe(target))

    async def ListPlatformTypes(
        self, request: pb.ListPlatformTypesRequest, context: Any
    ) -> pb.ListPlatformTypesResponse:
        """The types and the JSON Schemas of their configurations."""
        types = [
            pb.PlatformType(name=name, config_schema_json=json.dumps(one.Config.model_json_schema()))
            for name, one in self._destinations.items()
        ]
        return pb.ListPlatformTypesResponse(types=types)

    async def GetPlatformUsage(self, request: pb.GetPlatformUsageRequest, context: Any) -> pb.GetPlatformUsageResponse:
        """The tenant's limit and how much of it is used."""
        limit = self._limits.of(request.tenant).max_platforms
        return pb.GetPlatformUsageResponse(platforms=await self._platforms.count(request.tenant), max_platforms=limit)

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Any) -> pb.ListDeliveriesResponse:
        """A page of a tenant's deliveries, newest first."""
        size, brief = page_size(request.page_size), request.view == pb.DELIVERY_VIEW_BASIC
        found = await self._deliveries.page(
            request.tenant,
            job_id=request.job_id,
            platform_id=request.platform_id,
            states=known_values(request.states, FROM_STATES, "states", "a state of a delivery"),
            after=from_cursor(request.page_token),
            limit=size,
            brief=brief,
            created=(
                optional_time(request.created_after, "created_after"),
                optional_time(request.created_before, "created_before"),
            ),
            newest_first=not request.oldest_first,
            job_created_at=request.job_created_at.ToDatetime(UTC) if request.HasField("job_created_at") else None,
        )
        following = found.next_cursor(lambda one: (one.created_at, one.id))
        messages = [delivery_message(delivery, brief=brief) for delivery in found]
        return pb.ListDeliveriesResponse(deliveries=messages, next_page_token=following)

    async def GetDelivery(self, request: pb.GetDeliveryRequest, context: Any) -> pb.GetDeliveryResponse:
        """One delivery."""
        found = await self._found(request.tenant, request.delivery_id)
        return pb.GetDeliveryResponse(delivery=delivery_message(found))

    async def RetryDelivery(self, request: pb.RetryDeliveryRequest, context: Any) -> pb.RetryDeliveryResponse:
        """Restart a failed delivery."""
        states = frozenset({DeliveryState.FAILED})
        found = await self._deliveries.restart(request.tenant, request.delivery_id, states)
        if found is None:
            state = (await self._found(request.tenant, request.delivery_id)).state
            message = f"The delivery is {state.value}; only a failed delivery can be restarted."
            raise WrongState("delivery_not_failed", message)
        self._worker.wake()
        return pb.RetryDeliveryResponse(delivery=delivery_message(found))

    async def DeliverJob(self, request: pb.DeliverJobRequest, context: Any) -> pb.DeliverJobResponse:
        """Deliver a completed job's file to a platform, again or for the first time."""
        file = await self._exporter.job_file(request.tenant, request.job_id)
        if file is None:
            raise JobNotFound(request.job_id)
        if file.job.state != exporter_pb2.JOB_STATE_COMPLETED:
            raise WrongState("job_has_no_file", "Only a completed export whose file is still kept can be delivered.")
        platform = await self._registry.get(request.tenant, request.platform_id)
        if not platform.is_active:
            raise WrongState("platform_inactive", "The platform is not active; activate it first.")
        wanted = new_delivery(file, platform.id, platform, self._max_attempts, request.idempotency_key)
        if request.idempotency_key and (known := await self._deliveries.requested(wanted)) is not None:
            return pb.DeliverJobResponse(delivery=delivery_message(known), is_replay=True)
        if not file.job.has_deliveries:
            await self._exporter.note_deliveries([file.job], has_deliveries=True)
        found = (
            await self._deliveries.restart_for(wanted)
            or await self._deliveries.join(wanted)
            or await self._deliveries.add(wanted)
        )
        self._worker.wake()
        return pb.DeliverJobResponse(delivery=delivery_message(found))

    async def _found(self, tenant: str, wanted: str) -> Delivery:
        found = await self._deliveries.get(tenant, wanted)
        if found is None:
            raise DeliveryNotFound(wanted)
        return found
