"""Connects to MongoDB through Motor: clients with durable writes, and driver errors translated to faults.

Motor is in maintenance mode. Only this module and the stores use it, so that PyMongo's own asynchronous client can
replace it in one place.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import Any, ParamSpec, TypeVar

import bson
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from prometheus_client import Counter
from pymongo import ASCENDING, DESCENDING, MongoClient, ReturnDocument, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.monitoring import ConnectionCheckOutFailedEvent, ConnectionPoolListener, PoolClearedEvent
from pymongo.read_concern import ReadConcern

from services.chassis import mongo_pin
from services.chassis.faults import Unavailable
from services.chassis.mongo_expressions import Expression, literal
from services.chassis.paging import MAX_PAGE_BYTES, Page, Position
from services.chassis.telemetry import metrics

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]

P = ParamSpec("P")
T = TypeVar("T")

# A step-down takes 1 s, an election after kill -9 about 12 s (field notes): calls wait for it instead of failing.
SELECTION_MS = 20_000
MAX_SOCKET_MS = 20_000
"""How long a call waits for an answer. Without a limit, a server that hangs would block a heartbeat for ever."""
MIN_SOCKET_MS = 5_000
BATCH_SOCKET_MS = 300_000
"""The same for those who read a catalogue: finding one batch may take a scan of the whole collection."""
DUPLICATE_KEY = 11000
PAGE_BATCH = 20
"""Documents that a page reads at a time: at 256 KiB each, little more than `MAX_PAGE_BYTES`."""

CHECKOUT_FAILURES = Counter(
    "mongodb_checkout_failures_total", "Connections to MongoDB that could not be obtained, by reason.", ["reason"]
)
CLEARED = Counter("mongodb_pools_cleared_total", "Connection pools that were cleared after a connection failed.")

metrics.initialize_labels(CHECKOUT_FAILURES, "timeout", "poolClosed", "connectionError")


class PoolWatch(ConnectionPoolListener):
    """Counts connection problems, which the driver recovers from without reporting them."""

    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None:
        """A call got no connection in time."""
        CHECKOUT_FAILURES.labels(event.reason).inc()

    def pool_cleared(self, event: PoolClearedEvent) -> None:  # noqa: ARG002  the driver's signature
        """A connection failed, so all connections to that server were closed."""
        CLEARED.inc()

    def _ignored(self, event: object) -> None:
        """Part of normal operation."""

    pool_created = pool_ready = pool_closed = _ignored
    connection_created = connection_ready = connection_closed = _ignored
    connection_check_out_started = connection_checked_out = connection_checked_in = _ignored


def connect(uri: str, *, app: str, selection_ms: int = SELECTION_MS, socket_ms: int = MAX_SOCKET_MS) -> Client:
    """A client whose writes are acknowledged by a majority and journalled; it connects on first use.

    Raises:
        OSError: the URI is invalid.
    """
    with _uri_errors():
        return AsyncIOMotorClient(uri, appname=app, **_options(selection_ms, socket_ms))


def connect_sync(
    uri: str, *, app: str, selection_ms: int = SELECTION_MS, socket_ms: int = BATCH_SOCKET_MS
) -> MongoClient[Document]:
    """The same for worker threads, where the synchronous client is the right one. Its reads can be pinned."""
    with _uri_errors():
        return MongoClient(uri, appname=app, server_selector=mongo_pin.select, **_options(selection_ms, socket_ms))


def socket_ms_for(lease: float) -> int:
    """The socket timeout of a process that holds leases of `lease` seconds.

    A third of the lease, which is the interval of the heartbeats: one that hangs fails, and is tried again, before the
    lease ends. Within 5 s, which a healthy but busy server may need, and 20 s.
    """
    return min(MAX_SOCKET_MS, max(MIN_SOCKET_MS, round(lease / 3 * 1_000)))


def _options(selection_ms: int, socket_ms: int) -> dict[str, Any]:
    return {
        "w": "majority",
        "journal": True,
        "readConcernLevel": "majority",
        "retryWrites": True,
        "retryReads": True,
        "tz_aware": True,
        "uuidRepresentation": "standard",
        "connectTimeoutMS": 5_000,
        "serverSelectionTimeoutMS": selection_ms,
        "socketTimeoutMS": socket_ms,
        "event_listeners": [PoolWatch()],
    }


@contextmanager
def _uri_errors() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, ValueError) as exc:  # ValueError: a port that is not a number
        # The driver's message may contain the URI's password.
        raise OSError("the MongoDB URI is not mongodb://host:port/?replicaSet=name, or cannot be resolved") from exc


def is_transient(exc: PyMongoError) -> bool:
    """Whether the connection or the state of the cluster is at fault, so that the same call may succeed later."""
    if isinstance(exc, BulkWriteError):
        return not exc.details.get("writeErrors")  # what remains are write concern errors
    # A write concern error: the write was not confirmed by a majority, as while a server shuts down.
    if isinstance(exc, ConnectionFailure | ServerSelectionTimeoutError | ExecutionTimeout | WriteConcernError):
        return True
    return exc.timeout or exc.has_error_label("RetryableWriteError")


def translate_errors(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Decorate a store's method: transient MongoDB errors become `Unavailable`; others are defects and are raised."""

    @functools.wraps(call)
    async def translate(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except PyMongoError as exc:
            if not is_transient(exc):
                raise
            raise Unavailable("database_unavailable", "The database does not answer; try again shortly.") from exc

    return translate


async def find_current(collection: Collection, where: Document, projection: Document | None = None) -> Document | None:
    """The document that `where` identifies by its `_id`; None only if there is none now.

    A primary that was just elected may not know yet that a majority has a write, and reads with concern majority miss
    it. So what seems missing is read again with `find_linearized`.
    """
    found = await collection.find_one(where, projection)
    return found if found is not None else await find_linearized(collection, where, projection)


async def find_linearized(
    collection: Collection, where: Document, projection: Document | None = None
) -> Document | None:
    """The document that `where` identifies by its `_id`, as a majority of the members has it now.

    Slower than other reads: a majority has to confirm that the primary still is the primary.
    """
    linearizable = collection.with_options(read_concern=ReadConcern("linearizable"))
    return await linearizable.find_one(where, projection, max_time_ms=SELECTION_MS)


async def insert_or_get(collection: Collection, new: Document, computed: Expression | None = None) -> Document:
    """Insert a document, or return the one that already has its `_id`, unchanged.

    Args:
        computed: fields whose values are expressions, such as the server's time.

    Of two concurrent first calls the server refuses one, which finds the other's document at its second try.
    """
    change = _insertion(new, computed)
    for _ in range(2):
        with suppress(DuplicateKeyError):
            found = await collection.find_one_and_update(
                {"_id": new["_id"]}, change, upsert=True, return_document=ReturnDocument.AFTER
            )
            return dict(found)
    raise AssertionError(f"{collection.name} has a second unique key")


async def insert_missing(collection: Collection, new: Sequence[tuple[Document, Expression]]) -> list[int]:
    """Insert the documents whose `_id` does not exist yet, with one write; returns the indexes of those inserted.

    Each one comes with its computed fields, as in `insert_or_get`. After a failure, the call can be repeated.
    """
    if not new:
        return []
    writes = [UpdateOne({"_id": one["_id"]}, _insertion(one, computed), upsert=True) for one, computed in new]
    try:
        stored = await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as exc:
        others = [error for error in exc.details["writeErrors"] if error["code"] != DUPLICATE_KEY]
        if others or exc.details["writeConcernErrors"]:
            raise
        return [one["index"] for one in exc.details["upserted"]]  # a concurrent call inserted the others
    return list(stored.upserted_ids or {})


def _insertion(new: Document, computed: Expression | None) -> list[Document]:
    is_new = {"$eq": ["$$ROOT", {"_id": literal(new["_id"])}]}
    return [{"$replaceWith": {"$cond": [is_new, {"$mergeObjects": [literal(new), computed or {}]}, "$$ROOT"]}}]


async def page(
    collection: Collection,
    where: Document,
    *,
    after: Position | None,
    limit: int,
    by: str = "created_at",
    newest_first: bool = True,
    without: Sequence[str] = (),
    max_ms: int | None = None,
) -> Page[Document]:
    """The documents that meet `where`, ordered by the time `by` and `_id`, from the position `after` on.

    Reading stops at `limit` documents or at `MAX_PAGE_BYTES`, whichever comes first.

    Args:
        without: fields that are not read.
        max_ms: how long the server may search, in milliseconds.
    """
    if after is not None:
        at, last = after
        beyond = "$lt" if newest_first else "$gt"
        where = {"$and": [where, {"$or": [{by: {beyond: at}}, {by: at, "_id": {beyond: last}}]}]}
    order = DESCENDING if newest_first else ASCENDING
    options = collection.codec_options
    raw = collection.with_options(codec_options=options.with_options(document_class=RawBSONDocument))
    cursor = raw.find(where, dict.fromkeys(without, 0), max_time_ms=max_ms).sort([(by, order), ("_id", order)])
    found: list[Document] = []
    size = 0
    async for document in cursor.limit(limit + 1).batch_size(PAGE_BATCH):
        size += len(document.raw)
        if len(found) == limit or (found and size > MAX_PAGE_BYTES):
            await cursor.close()
            return Page(found, has_more=True)
        found.append(bson.decode(document.raw, options))
    return Page(found, has_more=False)


def load(kind: Callable[..., T], document: Mapping[str, Any], **given: object) -> T:
    """A dataclass from the fields of a document.

    Fields that only a newer version knows are ignored; missing ones get the default of the class. `given` replaces
    fields whose stored form differs.
    """
    names = (field.name for field in fields(kind))  # type: ignore[arg-type]  # a dataclass
    return kind(**{**{name: document[name] for name in names if name in document}, **given})


async def answers(client: Client, timeout: float = 2.0) -> bool:
    """Whether MongoDB answers a ping within `timeout` seconds."""
    try:
        await asyncio.wait_for(client.admin.command("ping"), timeout=timeout)
    except (PyMongoError, TimeoutError):
        return False
    return True
