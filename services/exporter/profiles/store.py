"""Profiles and their earlier versions in MongoDB. A change is a compare-and-set on the version that was read.

A version is copied into `profile_versions` before the profile is moved to the next one. The copy depends on nothing but
the version, so it does not matter how often, or by which of several requests, it is made; and after a crash in between,
the copy is of the current version and is not shown. Versions of a deleted profile are removed with it; those that a
crash leaves are removed by `sweep`.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis import mongo
from services.chassis.mongo import Database, Document, find_current, insert_or_get, load, translate_errors
from services.chassis.mongo_expressions import contains, difference
from services.chassis.paging import MAX_PAGE_BYTES, Page, Position
from services.exporter.profiles.profile import MAX_VERSIONS, Profile

MAX_COUNTED = 1_000_000
BY_PROFILE = "profile_id_1_created_at_1_version_1"
"""The index of the versions."""


class ProfileStore:
    """The collections `profiles` and `profile_versions`."""

    def __init__(self, database: Database) -> None:
        self._profiles = database["profiles"]
        self._versions = database["profile_versions"]

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._profiles.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        order = [("profile_id", ASCENDING), ("created_at", ASCENDING), ("version", ASCENDING)]
        await self._versions.create_index(order, name=BY_PROFILE)

    @translate_errors
    async def add(self, profile: Profile) -> Profile:
        """Store a new profile, or return the existing one with this id, unchanged."""
        return _profile(await insert_or_get(self._profiles, _document(profile)))

    @translate_errors
    async def get(self, tenant: str, profile_id: str) -> Profile | None:
        """A tenant's profile; None only if it certainly does not exist, even just after an election."""
        document = await find_current(self._profiles, {"_id": profile_id, "tenant": tenant})
        return None if document is None else _profile(document)

    @translate_errors
    async def count(self, tenant: str, at_most: int = MAX_COUNTED) -> int:
        """How many profiles the tenant has, counted up to `at_most`."""
        return await self._profiles.count_documents({"tenant": tenant}, limit=at_most)

    @translate_errors
    async def page(
        self, tenant: str, *, before: Position | None, limit: int, name: str = "", form: str = ""
    ) -> Page[Profile]:
        """A tenant's profiles, newest first, after the position `before` (created_at, id).

        Args:
            name: part of their names; empty: all.
            form: their format; empty: all.
        """
        where: Document = {"tenant": tenant, **contains("name", name)}
        if form:
            where["format"] = form
        return (await mongo.page(self._profiles, where, after=before, limit=limit)).converted(_profile)

    @translate_errors
    async def change(self, before: Profile, after: Profile) -> Profile | None:
        """Store a new version in place of the one that was read; None: it was changed or deleted since."""
        await insert_or_get(self._versions, _version_document(before))
        update = difference(_document(before), _document(replace(after, version=before.version + 1)))
        where = {"_id": before.id, "tenant": before.tenant, "version": before.version, "created_at": before.created_at}
        changed: Document | None = await self._profiles.find_one_and_update(
            where, update, return_document=ReturnDocument.AFTER
        )
        if changed is None:
            return None
        profile = _profile(changed)
        await self._versions.delete_many({**_of(profile), "version": {"$lte": profile.version - MAX_VERSIONS}})
        return profile

    @translate_errors
    async def versions(self, profile: Profile, *, before: int, limit: int) -> Page[Profile]:
        """The profile's kept versions with a number below `before`, newest first; the newest is the profile itself."""
        found = [profile] if before > profile.version else []
        size = sum(len(one.options_json) for one in found)
        kept = {"$gt": profile.version - MAX_VERSIONS, "$lt": min(before, profile.version)}
        cursor = self._versions.find({**_of(profile), "version": kept}).sort("version", DESCENDING)
        async for document in cursor.limit(limit + 1).batch_size(mongo.PAGE_BATCH):
            size += len(document["options_json"].encode())
            if len(found) == limit or (found and size > MAX_PAGE_BYTES):
                await cursor.close()
                return Page(found, has_more=True)
            found.append(_version(document))
        return Page(found, has_more=False)

    @translate_errors
    async def version(self, profile: Profile, number: int) -> Profile | None:
        """A kept version of the profile; None: there is none with this number."""
        if number == profile.version:
            return profile
        if not profile.version - MAX_VERSIONS < number < profile.version:
            return None
        document = await find_current(self._versions, {"_id": _version_id(replace(profile, version=number))})
        return None if document is None else _version(document)

    @translate_errors
    async def delete(self, tenant: str, profile_id: str, expected: datetime | None = None) -> bool:
        """Remove a profile with its versions, if it was last changed when it is expected to have been."""
        where: Document = {"_id": profile_id, "tenant": tenant}
        if expected is not None:
            where["updated_at"] = expected
        document: Document | None = await self._profiles.find_one_and_delete(where)
        if document is None:
            return False
        await self._versions.delete_many(_of(_profile(document)))
        return True

    @translate_errors
    async def sweep(self) -> int:
        """Remove versions whose profile was deleted; returns of how many profiles. The search reads an index only."""
        stages: list[Document] = [
            {"$match": {"profile_id": {"$gt": ""}}},  # without a condition on its first field, the index is not used
            {"$group": {"_id": {"profile_id": "$profile_id", "created_at": "$created_at"}}},
            {"$lookup": {"from": "profiles", "localField": "_id.profile_id", "foreignField": "_id", "as": "found"}},
            {"$match": {"$expr": {"$not": [{"$in": ["$_id.created_at", "$found.created_at"]}]}}},
            {"$limit": 1_000},
            {"$project": {"_id": 1}},
        ]
        left = [document["_id"] async for document in self._versions.aggregate(stages, hint=BY_PROFILE)]
        for one in left:
            await self._versions.delete_many(one)
        return len(left)


def _of(profile: Profile) -> Document:
    """Versions of this profile, and not of a deleted one that had the same id."""
    return {"profile_id": profile.id, "created_at": profile.created_at}


def _version_id(profile: Profile) -> str:
    born = round(profile.created_at.timestamp() * 1_000)
    return f"{profile.id}/{born:x}/{profile.version}"


def _document(profile: Profile) -> Document:
    kept = {field.name: getattr(profile, field.name) for field in fields(profile) if field.name != "id"}
    return {**kept, "_id": profile.id}


def _version_document(profile: Profile) -> Document:
    return {**_document(profile), "_id": _version_id(profile), "profile_id": profile.id}


def _profile(document: Mapping[str, object]) -> Profile:
    return load(Profile, document, id=document["_id"])


def _version(document: Mapping[str, object]) -> Profile:
    return load(Profile, document, id=document["profile_id"])
