"""Implements ProfileService: changes profiles through their registry, and returns messages."""

import asyncio
from typing import Any

import structlog

from services.chassis.faults import BadRequest, Violation
from services.chassis.paging import from_cursor, page_size, to_cursor
from services.chassis.rpc.requests import is_repeat, missing_is_deleted
from services.chassis.timestamps import expected_time
from services.exporter.catalogue.tenants import check_tenant
from services.exporter.messages import options_of, profile_message, refuse_selection
from services.exporter.profiles.profile import naming_options
from services.exporter.profiles.proposal import propose
from services.exporter.profiles.registry import Change, ProfileRegistry
from services.exporter.profiles.store import ProfileStore
from services.exporter.requests.field_list import FieldLists
from services.exporter.requests.request import FILTERED_SHEET, parse_options
from services.limits import Limits
from services.wire import profiles_pb2 as pb
from services.wire import profiles_pb2_grpc

log = structlog.get_logger()

NEWEST = 2**31
MAX_READERS = 2
"""Files whose headers are read at the same time; each takes up to a second, and others wait."""


class ProfileService(profiles_pb2_grpc.ProfileServiceServicer):
    """Implements `catalog.exports.v1.ProfileService`."""

    def __init__(self, registry: ProfileRegistry, store: ProfileStore, field_lists: FieldLists, limits: Limits) -> None:
        self._registry = registry
        self._store = store
        self._field_lists = field_lists
        self._limits = limits
        self._readers = asyncio.Semaphore(MAX_READERS)

    async def CreateProfile(self, request: pb.CreateProfileRequest, context: Any) -> pb.CreateProfileResponse:
        """Create a profile."""
        check_tenant(request.tenant)
        made, is_replay = await self._registry.create(
            request.tenant, request.name, request.format, _options(request), request.profile_id
        )
        if not is_replay:
            log.info("profile_created", action="create", profile_id=made.id, tenant=made.tenant, format=made.format)
        return pb.CreateProfileResponse(profile=profile_message(made), is_replay=is_replay)

    async def GetProfile(self, request: pb.GetProfileRequest, context: Any) -> pb.GetProfileResponse:
        """One profile."""
        found = await self._registry.get(request.tenant, request.profile_id)
        return pb.GetProfileResponse(profile=profile_message(found))

    async def ListProfiles(self, request: pb.ListProfilesRequest, context: Any) -> pb.ListProfilesResponse:
        """A page of a tenant's profiles, newest first."""
        if request.format:
            self._registry.check_format(request.format)
        found = await self._store.page(
            request.tenant,
            before=from_cursor(request.page_token),
            limit=page_size(request.page_size),
            name=request.name_contains,
            form=request.format,
        )
        following = found.next_cursor(lambda one: (one.created_at, one.id))
        return pb.ListProfilesResponse(profiles=map(profile_message, found), next_page_token=following)

    async def UpdateProfile(self, request: pb.UpdateProfileRequest, context: Any) -> pb.UpdateProfileResponse:
        """Change the fields that are present."""
        if request.HasField("platforms") and not request.HasField("options_json"):
            raise BadRequest([Violation("platforms", "goes with options_json, and replaces the platforms with it")])
        change = Change(
            name=request.name if request.HasField("name") else None,
            format=request.format if request.HasField("format") else None,
            options_json=_options(request) if request.HasField("options_json") else None,
        )
        changed = await self._registry.update(
            request.tenant, request.profile_id, change, expected_time(request), is_repeat=is_repeat(context)
        )
        log.info(
            "profile_changed", action="update", profile_id=changed.id, tenant=changed.tenant, version=changed.version
        )
        return pb.UpdateProfileResponse(profile=profile_message(changed))

    async def DeleteProfile(self, request: pb.DeleteProfileRequest, context: Any) -> pb.DeleteProfileResponse:
        """Delete a profile with its versions."""
        with missing_is_deleted(context):
            await self._registry.delete(request.tenant, request.profile_id, expected_time(request))
        log.info("profile_deleted", action="delete", profile_id=request.profile_id, tenant=request.tenant)
        return pb.DeleteProfileResponse()

    async def ListProfileVersions(
        self, request: pb.ListProfileVersionsRequest, context: Any
    ) -> pb.ListProfileVersionsResponse:
        """A page of a profile's versions, newest first."""
        profile = await self._registry.get(request.tenant, request.profile_id)
        size = page_size(request.page_size)
        found = await self._store.versions(profile, before=_number(request.page_token), limit=size)
        following = to_cursor(found[-1].updated_at, str(found[-1].version)) if found.has_more else ""
        return pb.ListProfileVersionsResponse(versions=map(profile_message, found), next_page_token=following)

    async def GetProfileVersion(
        self, request: pb.GetProfileVersionRequest, context: Any
    ) -> pb.GetProfileVersionResponse:
        """One version of a profile."""
        found = await self._registry.version(request.tenant, request.profile_id, request.version)
        return pb.GetProfileVersionResponse(profile=profile_message(found))

    async def ProposeProfile(self, request: pb.ProposeProfileRequest, context: Any) -> pb.ProposeProfileResponse:
        """A profile for a receiver's blank file."""
        check_tenant(request.tenant)
        fields = [one.name for one in (await self._field_lists.of(request.tenant, FILTERED_SHEET)).fields]
        async with self._readers:
            made = await asyncio.to_thread(propose, request.content, request.media_type, fields)
        return pb.ProposeProfileResponse(
            format=made.format,
            options_json=made.options_json,
            open_columns=[pb.OpenColumn(header=one.header, near_fields=one.near) for one in made.open],
        )

    async def GetProfileUsage(self, request: pb.GetProfileUsageRequest, context: Any) -> pb.GetProfileUsageResponse:
        """The tenant's limit and how much of it is used."""
        limit = self._limits.of(request.tenant).max_profiles
        return pb.GetProfileUsageResponse(profiles=await self._store.count(request.tenant), max_profiles=limit)


def _options(request: pb.CreateProfileRequest | pb.UpdateProfileRequest) -> str:
    """The options as they are stored; raises as the check of an export does."""
    with naming_options():
        parse_options(request.options_json)
        refuse_selection(request.options_json or "{}")
    return options_of(request)


def _number(page_token: str) -> int:
    """The version after which a page starts.

    Raises:
        BadRequest: not a page token of this list.
    """
    position = from_cursor(page_token)
    if position is None:
        return NEWEST
    if not position[1].isdigit() or len(position[1]) > len(str(NEWEST)):
        raise BadRequest([Violation("page_token", "is not a cursor of this list; start without one")])
    return int(position[1])
