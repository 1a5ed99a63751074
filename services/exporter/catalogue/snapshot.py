"""Reads a tenant's catalogue (database `catalogue_<tenant>`) in one snapshot, as raw BSON.

Documents come as MongoDB stores them. In the order of `_id`, random ids would cost a jump to another page for every
document: measured 4 to 8 times slower once the catalogue is larger than MongoDB's cache.

Synchronous, because it runs in an export's thread. The exporter never writes to a catalogue.
"""

import json
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import structlog
from pymongo import CursorType, MongoClient
from pymongo.client_session import ClientSession
from pymongo.command_cursor import RawBatchCommandCursor
from pymongo.cursor import RawBatchCursor
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_preferences import Nearest
from pymongo.server_type import SERVER_TYPE
from pymongo.topology_description import TOPOLOGY_TYPE

from services.chassis.mongo import Document, is_transient
from services.chassis.mongo_pin import Pin
from services.exporter.errors import JobFault

log = structlog.get_logger()

BATCH_DOCUMENTS = 1_000
_SNAPSHOT_TOO_OLD = {239, 246}
MAX_COUNT_MILLIS = 2_000


class SnapshotLost(Exception):
    """The server no longer keeps the snapshot; the export restarts in a new one and never mixes two."""


class Snapshot:
    """One consistent view of a tenant's catalogue; every read sees the same documents, from the same member."""

    def __init__(self, client: MongoClient[Document], tenant: str, session: ClientSession) -> None:
        self._client = client
        self._database = client[database_name(tenant)]
        self._session = session
        self._pin = Pin()
        self._reads: set[int] = set()
        self._is_sharded = self._finds_routers()
        # With an exhaust cursor the server sends batches without being asked; routers of sharded clusters have none.
        self._cursor_type = CursorType.NON_TAILABLE if self._is_sharded else CursorType.EXHAUST

    def batches(
        self,
        collection: str,
        query: Mapping[str, Any],
        projection: Mapping[str, Any] | None,
        sort: Sequence[tuple[str, int]] = (),
        *,
        limit: int = 0,
        explode: str | None = None,
        max_millis: int | None = None,
    ) -> Generator[bytes, None, None]:
        """Raw BSON documents end to end, about 1,000 at a time.

        Args:
            sort: by an index, or else by MongoDB on its disk. Without it: in stored order, or in the order of the index
                that MongoDB uses for the query. Sharded clusters have no such order, so their documents come by `_id`.
            limit: the maximum number of documents; 0: all.
            max_millis: MongoDB ends the query after this time; a `JobFault`.
            explode: the path of a list, each item of which becomes a document with the other fields.

        Raises:
            SnapshotLost: the snapshot is too old.
            JobFault: the catalogue is unavailable or unreadable.
        """
        order = list(sort) or ([("_id", 1)] if self._is_sharded else None)
        cursor: RawBatchCursor[Document] | RawBatchCommandCursor[Document]
        if explode is None:
            cursor = self._database[collection].find_raw_batches(
                query,
                projection,
                session=self._session,
                batch_size=BATCH_DOCUMENTS,
                sort=order,
                allow_disk_use=True if sort else None,
                limit=limit,
                max_time_ms=max_millis,
                cursor_type=CursorType.NON_TAILABLE if limit else self._cursor_type,  # exhaust has no limit
            )
        else:
            with _translated(), self._pin.held():
                cursor = self._database[collection].aggregate_raw_batches(
                    _exploded(query, projection, order, limit, explode),
                    session=self._session,
                    batchSize=BATCH_DOCUMENTS,
                    allowDiskUse=True,
                    **({} if max_millis is None else {"maxTimeMS": max_millis}),
                )
        self._reads.add(id(cursor))
        try:
            with _translated(), cursor:
                read = cast("Iterator[bytes]", cursor)  # typed as a cursor of documents
                with self._pin.held():  # only now the member is chosen; the cursor stays there
                    first = next(read, None)
                if first is not None:
                    yield first
                    yield from read
        finally:
            self._reads.discard(id(cursor))

    def has_order(self, collection: str, query: Mapping[str, Any], sort: Sequence[tuple[str, int]]) -> bool:
        """Whether MongoDB reads the documents in this order from an index; True where it does not say."""
        find = {"find": collection, "filter": query, "sort": dict(sort)}
        explain = {"explain": find, "verbosity": "queryPlanner", "maxTimeMS": MAX_COUNT_MILLIS}
        try:
            with self._pin.held():
                plan = self._database.command(explain, read_preference=self._client.read_preference)
        except PyMongoError:
            return True
        return '"SORT' not in json.dumps(plan.get("queryPlanner", {}).get("winningPlan", {}), default=str)

    def count(self, collection: str, query: Mapping[str, Any]) -> int | None:
        """How many documents meet the query; None when counting is too slow."""
        with _translated(), self._pin.held():
            try:
                return self._database[collection].count_documents(query, maxTimeMS=MAX_COUNT_MILLIS)
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

    def _finds_routers(self) -> bool:
        """Whether this is a sharded cluster. `MongoClient.is_mongos` would wait for a primary."""
        with self._pin.held():
            if self._client.topology_description.topology_type == TOPOLOGY_TYPE.Unknown:  # not connected yet
                self._client.admin.command("ping", read_preference=self._client.read_preference)
        servers = self._client.topology_description.server_descriptions().values()
        return any(server.server_type == SERVER_TYPE.Mongos for server in servers)

    def _kill(self) -> None:
        try:
            with self._pin.held():
                self._client.admin.command("killSessions", [self._session.session_id], read_preference=Nearest())
        except PyMongoError as exc:
            log.warning("query_not_killed", action="kill", reason=str(exc)[:300])
        # Only now may the session be used again.
        self._session.end_session()


def _exploded(
    query: Mapping[str, Any],
    projection: Mapping[str, Any] | None,
    order: Sequence[tuple[str, int]] | None,
    limit: int,
    explode: str,
) -> list[Document]:
    """A pipeline that reads documents as a query does, and makes one of each item of a list."""
    stages: list[Document] = [{"$match": query}]
    if order:
        stages.append({"$sort": dict(order)})
    if limit:
        stages.append({"$limit": limit})
    stages.append({"$unwind": {"path": f"${explode}", "preserveNullAndEmptyArrays": True}})
    return [*stages, {"$project": dict(projection)}] if projection else stages


def sizes(client: MongoClient[Document], tenant: str, collections: Iterable[str]) -> dict[str, int]:
    """How many documents each of these collections has; from their metadata, so it takes no time.

    Raises:
        JobFault: the catalogue is unavailable or unreadable.
    """
    database = client[database_name(tenant)]
    with _translated():
        return {name: database[name].estimated_document_count() for name in collections}


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
