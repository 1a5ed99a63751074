"""Platforms in MongoDB. A change is a compare-and-set on the version that was read."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from bson import Binary
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.chassis.mongo import Database, Document, translate_errors
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Sealed


class PlatformStore:
    """The `platforms` collection."""

    def __init__(self, database: Database) -> None:
        self._platforms = database["platforms"]

    async def prepare(self) -> None:
        """Make the indexes."""
        await self._platforms.create_index([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])

    @translate_errors
    async def add(self, platform: Platform) -> Platform:
        """Store a new platform, or return the one that has this id already, unchanged."""
        try:
            await self._platforms.insert_one(_document(platform))
        except DuplicateKeyError:
            document = await self._platforms.find_one({"_id": platform.id})
            return _platform(document) if document is not None else platform
        return platform

    @translate_errors
    async def get(self, tenant: str, platform_id: str) -> Platform | None:
        """A tenant's platform."""
        document = await self._platforms.find_one({"_id": platform_id, "tenant": tenant})
        return None if document is None else _platform(document)

    @translate_errors
    async def page(self, tenant: str, *, before: tuple[datetime, str] | None, limit: int) -> list[Platform]:
        """A tenant's platforms, newest first, after the position `before` (created_at, id)."""
        where: Document = {"tenant": tenant}
        if before is not None:
            at, last = before
            where["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last}}]
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        return [_platform(d) async for d in self._platforms.find(where).sort(order).limit(limit)]

    @translate_errors
    async def active(self, tenant: str) -> list[Platform]:
        """The tenant's active platforms."""
        where = {"tenant": tenant, "is_active": True}
        return [_platform(d) async for d in self._platforms.find(where).sort("created_at", ASCENDING)]

    @translate_errors
    async def named(self, tenant: str, platform_ids: Sequence[str]) -> list[Platform]:
        """Those of these platforms that the tenant has, active or not."""
        where = {"_id": {"$in": list(platform_ids)}, "tenant": tenant}
        return [_platform(d) async for d in self._platforms.find(where)]

    @translate_errors
    async def change(self, platform: Platform) -> Platform | None:
        """Replace the version that was read with this one; None: somebody else was faster, or it is gone."""
        where = {"_id": platform.id, "tenant": platform.tenant, "version": platform.version}
        document = _document(replace(platform, version=platform.version + 1))
        kept = await self._platforms.find_one_and_replace(where, document, return_document=ReturnDocument.AFTER)
        return None if kept is None else _platform(kept)

    @translate_errors
    async def pin(self, platform_id: str, name: str, value: str, *, known: str | None) -> str:
        """Keep what was learned of the peer in place of `known` (None: nothing yet); returns what is kept then.

        It counts as a change, so that one that began before cannot write over it.
        """
        field = f"pins.{name}"
        await self._platforms.update_one(
            {"_id": platform_id, field: known}, {"$set": {field: value}, "$inc": {"version": 1}}
        )
        document = await self._platforms.find_one({"_id": platform_id}, {"pins": 1})
        return str((document or {}).get("pins", {}).get(name, value))

    @translate_errors
    async def delete(self, tenant: str, platform_id: str) -> bool:
        """Forget a platform."""
        return (await self._platforms.delete_one({"_id": platform_id, "tenant": tenant})).deleted_count == 1

    @translate_errors
    async def sealed_with_another(self, version: int, limit: int) -> list[Platform]:
        """Platforms that hold a secret not wrapped by this master key."""
        found = {"$anyElementTrue": [{"$map": {"input": _SECRETS, "in": {"$ne": ["$$this.v.version", version]}}}]}
        return [_platform(d) async for d in self._platforms.find({"$expr": found}).limit(limit)]


_SECRETS: dict[str, Any] = {"$objectToArray": {"$ifNull": ["$secrets", {}]}}


def _document(platform: Platform) -> Document:
    return {
        **{name: getattr(platform, name) for name in _PLAIN},
        "_id": platform.id,
        "config": dict(platform.config),
        "pins": dict(platform.pins),
        "secrets": {name: asdict(sealed) for name, sealed in platform.secrets.items()},
    }


def _platform(document: Document) -> Platform:
    secrets = {
        name: Sealed(found["version"], bytes(Binary(found["key"])), bytes(Binary(found["text"])))
        for name, found in document.get("secrets", {}).items()
    }
    plain = {name: document[name] for name in _PLAIN}
    return Platform(
        id=document["_id"], config=document["config"], secrets=secrets, pins=document.get("pins", {}), **plain
    )


_PLAIN = ("tenant", "name", "type", "is_active", "created_at", "updated_at", "version")
