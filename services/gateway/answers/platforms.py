"""Platforms and deliveries in REST: bodies of requests, and answers made of the delivery service's messages."""

import json
from typing import Annotated

from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.answers.described import (
    PLATFORM_TYPES,
    AnyObject,
    Code,
    Count,
    Id,
    PlatformType,
    Seconds,
    Sha256,
    settings_of,
)
from services.gateway.answers.jobs import DELIVERY_STATUSES, at, notice, optional_at
from services.gateway.answers.models import Answer, DeliveryStatus, Instant, Notice, Page
from services.wire import delivery_pb2 as pb

Name = Annotated[str, Field(min_length=1, max_length=200)]
PlatformId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        json_schema_extra={"format": "uuid"},
        description="Id of a platform.",
    ),
]
Active = Annotated[bool, Field(strict=True)]


class Body(BaseModel):
    """Base of all bodies: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewPlatform(Body):
    """A platform to register."""

    name: Name
    platform_type: Annotated[PlatformType, Field(min_length=1, max_length=50)]
    config: Annotated[AnyObject, settings_of(PLATFORM_TYPES, "{}Config")]
    is_active: Active = Field(default=True, description="Whether completed exports are delivered to it.")


class PlatformChange(Body):
    """What is to change of a platform; what is absent stays."""

    name: Name | None = None
    config: Annotated[AnyObject, settings_of(PLATFORM_TYPES, "{}ConfigChange")] | None = Field(
        default=None, description="Merged key by key: null removes one, a masked secret stays as it is."
    )
    is_active: Active | None = None


class NewDelivery(Body):
    """Where a job's file is to be delivered."""

    platform_id: PlatformId


class RegisteredPlatform(Answer):
    """A platform that was just registered."""

    id: Id
    name: str
    platform_type: PlatformType
    is_active: bool
    created_at: Instant


class Platform(RegisteredPlatform):
    """A platform, its secrets masked."""

    config: Annotated[AnyObject, settings_of(PLATFORM_TYPES, "Stored{}Config")]
    updated_at: Instant


class PlatformPage(Page[Platform]):
    """Platforms, newest first."""


class TestStep(Answer):
    """One step of a test."""

    step: str
    ok: bool
    seconds: Seconds
    code: Code | None = Field(default=None, description="Why it failed, for programs.")
    message: str | None = Field(default=None, description="Why it failed, for people.")


class PlatformTest(Answer):
    """How the test of a platform went; `failed_step` is the first that did not work."""

    ok: bool
    failed_step: str | None = None
    steps: list[TestStep]


class Receipt(Answer):
    """Proof of a delivery."""

    remote: str = Field(description="Path, key or file id at the destination.")
    url: str | None = Field(default=None, description="Where people can open it.")
    size: Count = Field(description="Bytes.")
    sha256: Sha256 | None = None
    reported: dict[str, str] = Field(description="What the destination itself says: etag, md5, …")
    seconds: Seconds
    bytes_per_second: float | None = None
    was_there: bool = Field(description="An earlier attempt had done it, or on_conflict left what was there.")
    base_job_id: Id | None = Field(default=None, description="The export that a file with changes is based on.")
    base_sha256: Sha256 | None = Field(default=None, description="Of the file of that export.")
    changes_number: Count | None = Field(default=None, description="Of a file with changes, in their chain.")


class Attempt(Answer):
    """One attempt that ended."""

    started_at: Instant
    ended_at: Instant
    step: str | None = None
    error: Notice | None = None


class Delivery(Answer):
    """The upload of a job's file to a platform."""

    id: Id
    job_id: Id
    platform_id: Id
    platform_name: str | None = Field(default=None, description="Absent: there was no such platform.")
    platform_type: PlatformType | None = None
    status: DeliveryStatus
    file_name: str | None = Field(default=None, description="At the destination.")
    size: Count = Field(description="Bytes.")
    bytes_sent: Count
    sha256: Sha256
    attempt: Count
    max_attempts: Count
    created_at: Instant
    delivered_at: Instant | None = None
    next_attempt_at: Instant | None = None
    receipt: Receipt | None = None
    error: Notice | None = None
    attempts: list[Attempt] = Field(description="The last ones, oldest first.")


class DeliveryPage(Page[Delivery]):
    """Deliveries, newest first."""


def registered(platform: pb.Platform) -> RegisteredPlatform:
    """The answer to the registration of a platform."""
    return RegisteredPlatform(
        id=platform.id,
        name=platform.name,
        platform_type=platform.platform_type,
        is_active=platform.is_active,
        created_at=at(platform.created_at),
    )


def platform(found: pb.Platform) -> Platform:
    """A platform with all its fields."""
    config = {name: value for name, value in json.loads(found.config_json).items() if value is not None}
    return Platform(**registered(found).model_dump(), config=config, updated_at=at(found.updated_at))


def test(found: pb.TestPlatformResponse) -> PlatformTest:
    """The result of a test."""
    steps = [
        TestStep(
            step=step.name,
            ok=step.ok,
            seconds=_seconds(step.duration),
            code=step.error.code or None,
            message=step.error.message or None,
        )
        for step in found.steps
    ]
    return PlatformTest(ok=found.ok, failed_step=next((s.step for s in steps if not s.ok), None), steps=steps)


def delivery(found: pb.Delivery) -> Delivery:
    """A delivery with all its fields."""
    return Delivery(
        id=found.id,
        job_id=found.job_id,
        platform_id=found.platform_id,
        platform_name=found.platform_name or None,
        platform_type=found.platform_type or None,
        status=DELIVERY_STATUSES[found.state],
        file_name=found.file_name or None,
        size=found.size_bytes,
        bytes_sent=found.sent_bytes,
        sha256=found.sha256,
        attempt=found.attempt,
        max_attempts=found.max_attempts,
        created_at=at(found.created_at),
        delivered_at=optional_at(found, "delivered_at"),
        next_attempt_at=optional_at(found, "next_attempt_at"),
        receipt=_receipt(found.receipt) if found.HasField("receipt") else None,
        error=notice(found.error) if found.HasField("error") else None,
        attempts=[_attempt(past) for past in found.attempts],
    )


def _receipt(found: pb.Receipt) -> Receipt:
    return Receipt(
        remote=found.remote,
        url=found.url or None,
        size=found.size_bytes,
        sha256=found.sha256 or None,
        reported=dict(found.reported),
        seconds=_seconds(found.duration),
        bytes_per_second=round(found.bytes_per_second) if found.bytes_per_second else None,
        was_there=found.already_present,
        base_job_id=found.base_job_id or None,
        base_sha256=found.base_sha256 or None,
        changes_number=found.changes_number or None,
    )


def _attempt(past: pb.Attempt) -> Attempt:
    return Attempt(
        started_at=at(past.started_at),
        ended_at=at(past.ended_at),
        step=past.error.step or None,
        error=notice(past.error) if past.HasField("error") else None,
    )


def _seconds(duration: Duration) -> float:
    return round(duration.ToTimedelta().total_seconds(), 3)
