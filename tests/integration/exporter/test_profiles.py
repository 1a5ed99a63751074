"""Profiles with a real server: versions under concurrent changes and crashes, and jobs that are made with a profile."""

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import grpc
import pytest

from services.chassis.mongo import Database, insert_or_get
from services.chassis.timestamps import now_in_milliseconds
from services.exporter.errors import TooManyProfiles
from services.exporter.formats import formats
from services.exporter.profiles.profile import MAX_VERSIONS, Profile
from services.exporter.profiles.registry import ProfileRegistry
from services.exporter.profiles.store import ProfileStore, _version_document
from services.limits import Limits, LimitSettings
from services.wire import exporter_pb2
from services.wire import profiles_pb2 as pb
from tests.integration.exporting import DEADLINE, Exporter, new_tenant, products, refused

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
NEWEST = 2**31


@pytest.fixture
async def profiles(database: Database) -> ProfileStore:
    store = ProfileStore(database)
    await store.prepare()
    return store


@pytest.fixture
async def tenant(idle: Exporter) -> str:
    """A tenant with two products."""
    name = new_tenant()
    await idle.fill(name, products(2))
    return name


def new_profile(**fields: Any) -> Profile:
    now = now_in_milliseconds()
    return replace(Profile(str(uuid.uuid4()), "acme", "v1", "csv", "{}", now, now), **fields)


async def changed(store: ProfileStore, profile: Profile, name: str) -> Profile:
    found = await store.change(profile, replace(profile, name=name))
    assert found is not None
    return found


async def names(store: ProfileStore, profile: Profile) -> list[str]:
    """The names of the profile's versions, newest first."""
    return [one.name for one in await store.versions(profile, before=NEWEST, limit=200)]


# Versions


async def test_of_concurrent_changes_one_wins_and_each_version_is_what_was_shown(profiles: ProfileStore) -> None:
    made = await profiles.add(new_profile())
    found = await asyncio.gather(*(profiles.change(made, replace(made, name=f"by {n}")) for n in range(5)))
    [winner] = [one for one in found if one is not None]
    assert winner.version == 2
    assert await names(profiles, winner) == [winner.name, "v1"]
    assert await profiles.version(winner, 1) == made


async def test_a_change_that_a_crash_cuts_off_shows_nothing_and_can_be_made_again(
    profiles: ProfileStore, database: Database
) -> None:
    made = await profiles.add(new_profile())
    await insert_or_get(database["profile_versions"], _version_document(made))  # all that the killed process did
    assert await names(profiles, made) == ["v1"]
    assert await names(profiles, await changed(profiles, made, "v2")) == ["v2", "v1"]


async def test_the_oldest_versions_are_dropped(profiles: ProfileStore, database: Database) -> None:
    profile = await profiles.add(new_profile())
    for number in range(2, MAX_VERSIONS + 3):
        profile = await changed(profiles, profile, f"v{number}")
    expected = [f"v{number}" for number in range(MAX_VERSIONS + 2, 2, -1)]
    assert await names(profiles, profile) == expected
    assert await profiles.version(profile, 2) is None
    assert await database["profile_versions"].count_documents({}) == MAX_VERSIONS - 1
    page = await profiles.versions(profile, before=NEWEST, limit=20)
    rest = await profiles.versions(profile, before=page[-1].version, limit=200)
    assert (page.has_more, rest.has_more, [one.name for one in [*page, *rest]]) == (True, False, expected)


async def test_a_profile_with_the_id_of_a_deleted_one_has_none_of_its_versions(
    profiles: ProfileStore, database: Database
) -> None:
    first = await profiles.add(new_profile())
    second = await changed(profiles, first, "v2")
    left = _version_document(first)
    assert await profiles.delete("acme", first.id, second.updated_at)
    assert await database["profile_versions"].count_documents({}) == 0
    await database["profile_versions"].insert_one(left)  # as a crash in the middle of the deletion leaves it
    again = await profiles.add(replace(new_profile(name="new"), id=first.id))
    assert await names(profiles, await changed(profiles, again, "newer")) == ["newer", "new"]
    assert await profiles.sweep() == 1
    newer = await profiles.get("acme", first.id)
    assert newer is not None
    assert await names(profiles, await changed(profiles, newer, "newest")) == ["newest", "newer", "new"]
    assert await profiles.sweep() == 0


async def test_the_search_for_left_versions_reads_no_documents(profiles: ProfileStore, database: Database) -> None:
    profile = await profiles.add(new_profile())
    for number in range(2, 6):
        profile = await changed(profiles, profile, f"v{number}")
    await database.command("profile", 2)
    assert await profiles.sweep() == 0
    await database.command("profile", 0)
    [search] = [one async for one in database["system.profile"].find({"ns": {"$regex": "profile_versions$"}})]
    assert (search["keysExamined"] >= 4, search["planSummary"].partition(" ")[0]) == (True, "IXSCAN")
    assert search["docsExamined"] <= 1, "only those of the profiles themselves"


async def test_large_versions_are_split_into_pages_that_grpc_can_carry(profiles: ProfileStore) -> None:
    profile = await profiles.add(new_profile(options_json=json.dumps({"file_name": "x" * 250_000})))
    for number in range(2, 20):
        profile = await changed(profiles, profile, f"v{number}")
    page = await profiles.versions(profile, before=NEWEST, limit=200)
    assert page.has_more and sum(len(one.options_json) for one in page) < 4 * 1024 * 1024
    rest = await profiles.versions(profile, before=page[-1].version, limit=200)
    assert [one.version for one in [*page, *rest]] == list(range(19, 0, -1))


async def test_profiles_have_a_limit_that_a_repeated_request_does_not_meet(profiles: ProfileStore) -> None:
    registry = ProfileRegistry(formats(), profiles, Limits(LimitSettings(max_profiles=2)))
    ids = [str(uuid.uuid4()) for _ in range(2)]
    made = [await registry.create("acme", "Prices", "csv", "{}", one) for one in ids]
    with pytest.raises(TooManyProfiles, match="2 profiles"):
        await registry.create("acme", "Prices", "csv", "{}", "")
    assert await registry.create("acme", "Prices", "csv", "{}", ids[0]) == (made[0][0], True)
    assert (await registry.create("other", "Prices", "csv", "{}", ""))[1] is False
    await registry.delete("acme", ids[0])
    await registry.create("acme", "Prices", "csv", "{}", "")


# Calls


async def create(exporter: Exporter, tenant: str, options: object = None, **fields: Any) -> pb.Profile:
    request = pb.CreateProfileRequest(
        **{"tenant": tenant, "name": "Prices", "format": "csv", "options_json": json.dumps(options or {}), **fields}
    )
    return (await exporter.profiles.CreateProfile(request, timeout=DEADLINE)).profile


async def run(exporter: Exporter, profile: pb.Profile, options: object = None, **more: Any) -> exporter_pb2.Job:
    return await exporter.create(profile.tenant, "", options, profile_id=profile.id, **more)


async def test_concurrent_equal_requests_create_one_profile(idle: Exporter, tenant: str) -> None:
    chosen = str(uuid.uuid4())
    made = await asyncio.gather(*(create(idle, tenant, profile_id=chosen) for _ in range(5)))
    assert {one.id for one in made} == {chosen}
    assert await idle.client["exporter"]["profiles"].count_documents({"tenant": tenant}) == 1
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "profile_id_reused"):
        await create(idle, tenant, {"delimiter": ";"}, profile_id=chosen)
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "profile_id_reused"):
        await create(idle, new_tenant(), profile_id=chosen)


async def test_concurrent_changes_of_different_fields_are_all_kept(idle: Exporter, tenant: str) -> None:
    made = await create(idle, tenant)
    requests = [
        pb.UpdateProfileRequest(tenant=tenant, profile_id=made.id, name="Stock"),
        pb.UpdateProfileRequest(tenant=tenant, profile_id=made.id, options_json='{"delimiter": ";"}'),
    ]
    await asyncio.gather(*(idle.profiles.UpdateProfile(one, timeout=DEADLINE) for one in requests))
    found = (
        await idle.profiles.GetProfile(pb.GetProfileRequest(tenant=tenant, profile_id=made.id), timeout=DEADLINE)
    ).profile
    assert (found.name, found.options_json, found.version) == ("Stock", '{"delimiter": ";"}', 3)


async def test_a_job_has_the_options_with_all_digits_and_the_version(idle: Exporter, tenant: str) -> None:
    made = await create(idle, tenant, options_json='{"filters": {"price": {"gte": 0.10}}, "delimiter": ";"}')
    request = exporter_pb2.CreateJobRequest(
        tenant=tenant, profile_id=made.id, options_json='{"delimiter": null, "filters": {"price": {"lt": 1.50}}}'
    )
    job = (await idle.stub.CreateJob(request, timeout=DEADLINE)).job
    assert (job.format, job.options_json) == ("csv", '{"filters": {"price": {"lt": 1.50}}}')
    assert (job.profile_id, job.profile_version) == (made.id, 1)
    assert not job.HasField("platforms")


async def test_platforms_are_an_option_that_a_run_can_replace_and_remove(idle: Exporter, tenant: str) -> None:
    selected, other = ([str(uuid.uuid4())] for _ in range(2))
    made = await create(idle, tenant, platforms=exporter_pb2.PlatformSelection(platform_ids=selected))
    assert (made.options_json, list(made.platforms.platform_ids)) == ("{}", selected)
    assert list((await run(idle, made)).platforms.platform_ids) == selected
    assert list((await run(idle, made, {"platform_ids": other})).platforms.platform_ids) == other
    request = exporter_pb2.CreateJobRequest(tenant=tenant, profile_id=made.id, options_json='{"platform_ids": null}')
    assert not (await idle.stub.CreateJob(request, timeout=DEADLINE)).job.HasField("platforms")


async def test_a_job_that_was_accepted_is_returned_whatever_has_become_of_its_profile(
    idle: Exporter, tenant: str
) -> None:
    made, job_id = await create(idle, tenant), str(uuid.uuid4())
    first = await run(idle, made, job_id=job_id)
    await idle.profiles.UpdateProfile(
        pb.UpdateProfileRequest(tenant=tenant, profile_id=made.id, options_json='{"delimiter": ";"}'), timeout=DEADLINE
    )
    assert await run(idle, made, job_id=job_id) == first
    await idle.profiles.DeleteProfile(pb.DeleteProfileRequest(tenant=tenant, profile_id=made.id), timeout=DEADLINE)
    assert await run(idle, made, job_id=job_id) == first
    async with refused(NOT_FOUND, "profile_not_found"):
        await run(idle, made)
    assert await idle.jobs.count_documents({"tenant": tenant}) == 1


async def test_what_is_wrong_is_named_with_its_place(idle: Exporter, tenant: str) -> None:
    made = await create(idle, tenant)
    async with refused(INVALID, "invalid_request") as told:
        await create(idle, tenant, {"utf8_bomb": True})
    assert set(told.fields) == {"options_json.utf8_bomb"}
    async with refused(INVALID, "invalid_request") as told:
        await create(idle, tenant, {"platform_ids": []})
    assert set(told.fields) == {"options_json.platform_ids"}
    async with refused(INVALID, "invalid_request") as told:
        await create(idle, tenant, options_json="[]")
    assert set(told.fields) == {"options_json"}
    async with refused(INVALID, "unknown_field") as told:
        await run(idle, made, {"include_fields": ["pirce"]})
    assert set(told.fields) == {"options_json.include_fields"}
    async with refused(INVALID, "invalid_request") as told:
        await idle.create(tenant, "csv", profile_id=made.id)
    assert set(told.fields) == {"format"}
    async with refused(INVALID, "invalid_request") as told:
        platforms = exporter_pb2.PlatformSelection()
        request = pb.UpdateProfileRequest(tenant=tenant, profile_id=made.id, platforms=platforms)
        await idle.profiles.UpdateProfile(request, timeout=DEADLINE)
    assert set(told.fields) == {"platforms"}
    async with refused(INVALID, "invalid_request") as told:
        page = pb.ListProfileVersionsRequest(tenant=tenant, profile_id=made.id, page_token="MS9h")
        await idle.profiles.ListProfileVersions(page, timeout=DEADLINE)
    assert set(told.fields) == {"page_token"}
