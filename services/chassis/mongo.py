"""Connects to MongoDB through Motor: clients with durable writes, and driver errors translated to faults.

Motor is in maintenance mode. Only this module and the stores use it, so that PyMongo's own asynchronous client can
replace it in one place.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import MongoClient, ReturnDocument
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from services.chassis.faults import Unavailable
from services.chassis.mongo_pool import PoolWatch

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]

# A step-down takes 1 s, an election after kill -9 about 12 s (field notes): calls wait it out instead of failing.
SELECTION_MS = 20_000

_DURABLE: dict[str, Any] = {
    "w": "majority",
    "journal": True,
    "readConcernLevel": "majority",
    "retryWrites": True,
    "retryReads": True,
    "tz_aware": True,
    "uuidRepresentation": "standard",
    "connectTimeoutMS": 5_000,
    "event_listeners": [PoolWatch()],
}

P = ParamSpec("P")
T = TypeVar("T")


def connect(uri: str, *, app: str, selection_ms: int = SELECTION_MS) -> Client:
    """A client whose writes are acknowledged by a majority and journalled; it connects on first use.

    Raises:
        OSError: the URI cannot be understood.
    """
    with _uri_understood():
        return AsyncIOMotorClient(uri, appname=app, serverSelectionTimeoutMS=selection_ms, **_DURABLE)


def connect_sync(uri: str, *, app: str, selection_ms: int = SELECTION_MS) -> MongoClient[Document]:
    """The same for a worker thread, where the synchronous client is the right one."""
    with _uri_understood():
        return MongoClient(uri, appname=app, serverSelectionTimeoutMS=selection_ms, **_DURABLE)


@contextmanager
def _uri_understood() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, ValueError) as exc:  # ValueError: a port that is no number
        # The driver's words may hold the URI's password.
        raise OSError("the MongoDB URI is not mongodb://host:port/?replicaSet=name, or cannot be resolved") from exc


def is_transient(exc: PyMongoError) -> bool:
    """Whether the fault lies with the connection or the cluster's state and the same call may work later."""
    transient = isinstance(exc, ConnectionFailure | ServerSelectionTimeoutError | ExecutionTimeout)
    return transient or exc.timeout or exc.has_error_label("RetryableWriteError")


def translate_errors(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Decorate a store's method: a MongoDB that is away becomes `Unavailable`; other errors are defects and pass."""

    @functools.wraps(call)
    async def translate(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except PyMongoError as exc:
            if not is_transient(exc):
                raise
            raise Unavailable("database_unavailable", "The database does not answer; try again shortly.") from exc

    return translate


async def upserted(collection: Collection, key: str, change: list[Document]) -> Document:
    """The document with this `_id` after a change by pipeline, made by it when there is none.

    Of two first calls at once, the server refuses the loser, which finds the winner's document at its second try.
    """
    for _ in range(2):
        with suppress(DuplicateKeyError):
            found = await collection.find_one_and_update(
                {"_id": key}, change, upsert=True, return_document=ReturnDocument.AFTER
            )
            return dict(found)
    raise AssertionError(f"{collection.name} has a second unique key")


async def answers(client: Client, within: float = 2.0) -> bool:
    """Whether MongoDB answers a ping within so many seconds."""
    try:
        await asyncio.wait_for(client.admin.command("ping"), timeout=within)
    except (PyMongoError, TimeoutError):
        return False
    return True
