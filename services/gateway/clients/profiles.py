"""The gateway's client of the exporter's profiles: typed calls with a deadline, failures as faults."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.clients.rest_names import BRIEF_DEADLINE, RestCaller
from services.wire import profiles_pb2 as pb
from services.wire import profiles_pb2_grpc

NAMES = {"options_json": "options", "content": "body"}


class ProfileClient:
    """Calls ProfileService. Every method raises the Fault that the service returns, or Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._stub = profiles_pb2_grpc.ProfileServiceStub(channel)
        self._caller = RestCaller("exporter", deadline=deadline, names=NAMES)

    async def create(self, request: pb.CreateProfileRequest) -> pb.CreateProfileResponse:
        """Create a profile; repeated calls with the same id create one."""
        return await self._caller.call(self._stub.CreateProfile, request)

    async def get(self, tenant: str, profile_id: str) -> pb.Profile:
        """One profile."""
        request = pb.GetProfileRequest(tenant=tenant, profile_id=profile_id)
        return (await self._caller.call(self._stub.GetProfile, request)).profile

    async def list(self, request: pb.ListProfilesRequest) -> pb.ListProfilesResponse:
        """A page of profiles."""
        return await self._caller.call(self._stub.ListProfiles, request)

    async def update(self, request: pb.UpdateProfileRequest) -> pb.Profile:
        """Change the fields that are present."""
        return (await self._caller.call(self._stub.UpdateProfile, request)).profile

    async def delete(self, tenant: str, profile_id: str, expected: Timestamp | None) -> None:
        """Delete a profile, if it was last changed at the expected time; None: in any case."""
        request = pb.DeleteProfileRequest(tenant=tenant, profile_id=profile_id, expected_updated_at=expected)
        await self._caller.call(self._stub.DeleteProfile, request)

    async def versions(self, request: pb.ListProfileVersionsRequest) -> pb.ListProfileVersionsResponse:
        """A page of a profile's versions."""
        return await self._caller.call(self._stub.ListProfileVersions, request)

    async def version(self, tenant: str, profile_id: str, number: int) -> pb.Profile:
        """One version of a profile."""
        request = pb.GetProfileVersionRequest(tenant=tenant, profile_id=profile_id, version=number)
        return (await self._caller.call(self._stub.GetProfileVersion, request)).profile

    async def propose(self, tenant: str, content: bytes, media_type: str) -> pb.ProposeProfileResponse:
        """A profile for a receiver's blank file."""
        request = pb.ProposeProfileRequest(tenant=tenant, content=content, media_type=media_type)
        return await self._caller.call(self._stub.ProposeProfile, request)

    async def usage(self, tenant: str) -> pb.GetProfileUsageResponse:
        """The limit and usage of profiles, with a short deadline."""
        request = pb.GetProfileUsageRequest(tenant=tenant)
        return await self._caller.call(self._stub.GetProfileUsage, request, deadline=BRIEF_DEADLINE)
