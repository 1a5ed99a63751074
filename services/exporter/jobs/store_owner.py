"""Which deployment an artifact store belongs to.

The sweep removes files that no job in its database needs. In a store that another deployment uses too, those would be
all files of the other one. The id of the deployment is therefore kept in its database and in the store, and the sweep
only works where both are the same.
"""

import asyncio
import uuid
from contextlib import suppress

import structlog

from services.chassis.blobs.contract import BlobMissing, BlobStore
from services.chassis.mongo import Database, insert_or_get, translate_errors

log = structlog.get_logger()

MARKER = "deployment.id"
"""Key in the store; the sweep ignores it, because it is not that of an artifact."""
MAX_BYTES = 100


class StoreOwner:
    """Checks whether the store belongs to this deployment."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._deployment = database["deployment"]
        self._blobs = blobs

    async def is_this_deployment(self) -> bool:
        """Whether the store has this deployment's marker; one without is marked, and ours from the next call.

        The pause allows for two deployments that mark a store at the same time: the later one overwrites the marker,
        and only that one finds its own.
        """
        own, found = await self._own(), await self._marker()
        if not found:
            await asyncio.to_thread(self._mark, own)
            log.info("artifact_store_marked", action="sweep", deployment=own)
            return False
        if found != own:
            log.error("artifact_store_of_another_deployment", action="sweep", deployment=own, owner=found)
        return found == own

    @translate_errors
    async def _own(self) -> str:
        new = {"_id": "deployment", "deployment_id": str(uuid.uuid4())}
        return str((await insert_or_get(self._deployment, new))["deployment_id"])

    async def _marker(self) -> str:
        data = b""
        with suppress(BlobMissing):
            async for chunk in self._blobs.read(MARKER):
                data += chunk
                if len(data) > MAX_BYTES:
                    break
        return data[:MAX_BYTES].decode(errors="replace").strip()

    def _mark(self, own: str) -> None:
        writer = self._blobs.writer(MARKER, media_type="text/plain")
        try:
            writer.write(f"{own}\n".encode())
            writer.commit()
        finally:
            writer.abort()
