"""API keys in MongoDB, database `gateway`."""

from datetime import datetime

from services.chassis.mongo import Database, Document, translate_errors
from services.gateway.auth.api_keys import ApiKey


class KeyStore:
    """The `keys` collection; a document's `_id` is the key's id."""

    def __init__(self, database: Database) -> None:
        self._keys = database["keys"]

    @translate_errors
    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        await self._keys.insert_one(
            {
                "_id": key.id,
                "tenant": key.tenant,
                "name": key.name,
                "scopes": sorted(key.scopes),
                "sha256": key.sha256,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
            }
        )

    @translate_errors
    async def get(self, key_id: str) -> ApiKey | None:
        """One key, also if it is revoked or expired."""
        document = await self._keys.find_one({"_id": key_id})
        return None if document is None else _from_document(document)

    @translate_errors
    async def all(self, tenant: str | None = None) -> list[ApiKey]:
        """The keys of one tenant or of all, oldest first."""
        found = self._keys.find({} if tenant is None else {"tenant": tenant}).sort([("created_at", 1), ("_id", 1)])
        return [_from_document(document) async for document in found]

    @translate_errors
    async def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Revoke a key; one that was already revoked keeps its time. None: there is no such key."""
        first = {"$set": {"revoked_at": {"$ifNull": ["$revoked_at", at]}}}
        document = await self._keys.find_one_and_update({"_id": key_id}, [first], return_document=True)
        return None if document is None else _from_document(document)


def _from_document(document: Document) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        tenant=document["tenant"],
        name=document["name"],
        scopes=frozenset(document["scopes"]),
        sha256=document["sha256"],
        created_at=document["created_at"],
        expires_at=document.get("expires_at"),
        revoked_at=document.get("revoked_at"),
    )
