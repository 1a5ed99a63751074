"""Reads a tenant's catalogue (database `catalogue_<tenant>`) in one snapshot, as raw BSON.

Documents come as MongoDB stores them. In the order of `_id`, random ids would cost a jump to another page for every
document: measured 4 to 8 times slower once the catalogue is larger than MongoDB's cache.

Synchronous, because it runs in an export's thread. The exporter never writes to a catalogue.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from pymongo import CursorType, MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError

from services.chassis.mongo import Document, is_transient
from services.exporter.errors import JobFault

log = structlog.get_logger()

BATCH_DOCUMENTS = 1_000
_SNAPSHOT_TOO_OLD = {239, 246}
MAX_COUNT_MILLIS = 2_000


class SnapshotLost(Exception):
    """The server no longer keeps the snapshot; the export restarts in a new one and never mixes two."""


class Snapshot:
    """One consistent view of a tenant's catalogue; every read sees the same documents."""

    def __init__(self, client: MongoClient[Document], tenant: str, session: ClientSession) -> None:
        self._client = client
        self._database = client[database_name(tenant)]
        self._session = session
        self._reads: set[int] = set()
        # With an exhaust cursor the server sends batches without being asked; routers of sharded clusters have none.
        self._cursor_type = CursorType.NON_TAILABLE if client.is_mongos else CursorType.EXHAUST

    def batches(
        self,
        collection: str,
        query: Mapping[str, Any],
        projection: Mapping[str, Any] | None,
        sort: Sequence[tuple[str, int]] = (),
    ) -> Generator[bytes, None, None]:
        """Raw BSON documents end to end, about 1,000 at a time.

        Args:
            sort: by an index, or else by MongoDB on its disk. Without it: in stored order, or in the order of the index
                that MongoDB uses for the query. Sharded clusters have no such order, so their documents come by `_id`.

        Raises:
            SnapshotLost: the snapshot is too old.
            JobFault: the catalogue is unavailable or unreadable.
        """
        cursor = self._database[collection].find_raw_batches(
            query,
            projection,
            session=self._session,
            batch_size=BATCH_DOCUMENTS,
            sort=list(sort) or ([("_id", 1)] if self._client.is_mongos else None),
            allow_disk_use=True if sort else None,
            cursor_type=self._cursor_type,
        )
        self._reads.add(id(cursor))
        try:
            with _translated(), cursor:
                yield from cursor
        finally:
            self._reads.discard(id(cursor))

    def count(self, collection: str, query: Mapping[str, Any]) -> int | None:
        """How many documents there are; None when a filter makes counting too slow."""
        documents = self._database[collection]
        with _translated():
            if not query:
                return documents.estimated_document_count()
            try:
                return documents.count_documents(query, maxTimeMS=MAX_COUNT_MILLIS)
            except OperationFailure:
                return None

    def close(self) -> None:
        """End the session; queries that are still running, in threads that were left behind, are killed.

        Does not wait for MongoDB if there are any: it may be the reason why they hang.
        """
        if not self._reads:
            self._session.end_session()
            return
        threading.Thread(target=self._kill, name="export-kill", daemon=True).start()

    def _kill(self) -> None:
        try:
            self._client.admin.command("killSessions", [self._session.session_id])
        except PyMongoError as exc:
            log.warning("query_not_killed", action="kill", reason=str(exc)[:300])
        # Only now may the session be used again.
        self._session.end_session()


def max_documents(client: MongoClient[Document], tenant: str, collections: Iterable[str]) -> int:
    """How many documents an export of these collections reads at most; from their metadata, so it takes no time.

    Raises:
        JobFault: the catalogue is unavailable or unreadable.
    """
    database = client[database_name(tenant)]
    with _translated():
        return sum(database[name].estimated_document_count() for name in collections)


def database_name(tenant: str) -> str:
    """The database that holds a tenant's catalogue."""
    return f"catalogue_{tenant}"


@contextmanager
def snapshot(client: MongoClient[Document], tenant: str) -> Iterator[Snapshot]:
    """Open a snapshot of a tenant's catalogue; on exit, no query of it goes on running."""
    with _translated():
        view = Snapshot(client, tenant, client.start_session(snapshot=True))
        try:
            yield view
        finally:
            view.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PyMongoError as exc:
        if isinstance(exc, OperationFailure) and exc.code in _SNAPSHOT_TOO_OLD:
            raise SnapshotLost(str(exc)) from exc
        transient = is_transient(exc)
        code, advice = (
            ("catalogue_unavailable", "does not answer") if transient else ("catalogue_error", "is unreadable")
        )
        raise JobFault(code, f"The catalogue {advice}: {str(exc)[:300]}", transient=transient) from exc
