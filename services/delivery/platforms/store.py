"""Platforms in MongoDB. A change is a compare-and-set on the version that was read."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from services.chassis import mongo
from services.chassis.mongo import Database, Document, find_current, insert_or_get, load, translate_errors
from services.chassis.mongo_expressions import contains, difference
from services.chassis.paging import Page, Position
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Sealed

MAX_COUNTED = 1_000_000


class PlatformStore:
    """The `platforms` collection."""

    def __init__(self, database: Database) -> None:
        self._platforms = database["platforms"]

    @translate_errors
    async def prepare(self) -> None:
        """Create the indexes."""
        await self._platforms.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])

    @translate_errors
    async def add(self, platform: Platform) -> Platform:
        """Store a new platform, or return the existing one with this id, unchanged."""
        return _platform(await insert_or_get(self._platforms, _document(platform)))

    @translate_errors
    async def get(self, tenant: str, platform_id: str) -> Platform | None:
        """A tenant's platform; None only if it certainly does not exist, even just after an election."""
        document = await find_current(self._platforms, {"_id": platform_id, "tenant": tenant})
        return None if document is None else _platform(document)

    @translate_errors
    async def count(self, tenant: str, at_most: int = MAX_COUNTED) -> int:
        """How many platforms the tenant has, counted up to `at_most`."""
        return await self._platforms.count_documents({"tenant": tenant}, limit=at_most)

    @translate_errors
    async def page(
        self,
        tenant: str,
        *,
        before: Position | None,
        limit: int,
        name: str = "",
        kind: str = "",
        is_active: bool | None = None,
    ) -> Page[Platform]:
        """A tenant's platforms, newest first, after the position `before` (created_at, id).

        Args:
            name: part of their names; empty: all.
            kind: their type; empty: all.
        """
        where: Document = {"tenant": tenant, **contains("name", name)}
        if kind:
            where["type"] = kind
        if is_active is not None:
            where["is_active"] = is_active
        found = await mongo.page(self._platforms, where, after=before, limit=limit)
        return found.converted(_platform)

    @translate_errors
    async def active(self, tenant: str) -> list[Platform]:
        """The tenant's active platforms."""
        where = {"tenant": tenant, "is_active": True}
        return [_platform(d) async for d in self._platforms.find(where).sort("created_at", ASCENDING)]

    @translate_errors
    async def tenants_with_active(self, tenants: Iterable[str]) -> set[str]:
        """Those of the tenants that have an active platform."""
        where = {"tenant": {"$in": sorted(set(tenants))}, "is_active": True}
        return {document["tenant"] async for document in self._platforms.find(where, {"tenant": 1})}

    @translate_errors
    async def named(self, tenant: str, platform_ids: Sequence[str]) -> list[Platform]:
        """The tenant's platforms among these ids, active or not."""
        where = {"_id": {"$in": list(platform_ids)}, "tenant": tenant}
        return [_platform(d) async for d in self._platforms.find(where)]

    @translate_errors
    async def change(self, before: Platform, after: Platform) -> Platform | None:
        """Store what differs from the version that was read; None: it was changed or deleted since."""
        where = {"_id": before.id, "tenant": before.tenant, "version": before.version}
        update = difference(_document(before), _document(replace(after, version=before.version + 1)))
        changed = await self._platforms.find_one_and_update(where, update, return_document=ReturnDocument.AFTER)
        return None if changed is None else _platform(changed)

    @translate_errors
    async def pin(self, platform_id: str, name: str, value: str, *, known: str | None) -> str:
        """Pin a property of the peer in place of `known` (None: nothing pinned yet); returns what is pinned then.

        It counts as a change, so that a change that was started before cannot overwrite it.
        """
        field = f"pins.{name}"
        await self._platforms.update_one(
            {"_id": platform_id, field: known}, {"$set": {field: value}, "$inc": {"version": 1}}
        )
        document = await self._platforms.find_one({"_id": platform_id}, {"pins": 1})
        return str((document or {}).get("pins", {}).get(name, value))

    @translate_errors
    async def delete(self, tenant: str, platform_id: str, expected: datetime | None = None) -> bool:
        """Remove a platform, if it was last changed when it is expected to have been."""
        where: Document = {"_id": platform_id, "tenant": tenant}
        if expected is not None:
            where["updated_at"] = expected
        return (await self._platforms.delete_one(where)).deleted_count == 1

    @translate_errors
    async def sealed_with_another(self, version: int, limit: int) -> list[Platform]:
        """Platforms with a secret that is wrapped by another version of the master key."""
        found = {"$anyElementTrue": [{"$map": {"input": _SECRETS, "in": {"$ne": ["$$this.v.version", version]}}}]}
        return [_platform(d) async for d in self._platforms.find({"$expr": found}).limit(limit)]


_SECRETS: dict[str, Any] = {"$objectToArray": {"$ifNull": ["$secrets", {}]}}


def _document(platform: Platform) -> Document:
    return {
        **{field.name: getattr(platform, field.name) for field in fields(platform) if field.name != "id"},
        "_id": platform.id,
        "config": dict(platform.config),
        "pins": dict(platform.pins),
        "secrets": {name: asdict(sealed) for name, sealed in platform.secrets.items()},
    }


def _platform(document: Document) -> Platform:
    secrets = {name: load(Sealed, sealed) for name, sealed in document.get("secrets", {}).items()}
    return load(Platform, document, id=document["_id"], secrets=secrets)
