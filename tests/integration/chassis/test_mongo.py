"""What calls of MongoDB do when the server hangs or shuts down, and how documents are inserted once and paged."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient, UpdateOne
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from deploy.local.servers import Mongod
from services.chassis import mongo
from services.chassis.faults import Unavailable
from services.chassis.mongo_expressions import NOW
from services.chassis.service_runtime import service_runtime
from services.chassis.settings import RpcSettings

SHUTDOWN_IN_PROGRESS = 91


class FailingMongod(Mongod):
    """A mongod that can be told to fail commands."""

    def _listen(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        super()._listen([*command, "--setParameter", "enableTestCommands=1"], env)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingMongod]:
    """A server for this module."""
    server = FailingMongod(tmp_path_factory.mktemp("failing"))
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def fail(server: Mongod, commands: Sequence[str], how: dict[str, Any]) -> AsyncIterator[None]:
    """Fail these commands of clients named `failing`."""
    data = {"failCommands": commands, "appName": "failing", **how}
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        yield
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


async def test_a_write_that_is_not_confirmed_during_a_shutdown_is_unavailable(failing: Mongod) -> None:
    client = mongo.connect(failing.uri, app="failing")
    things = client["tests"]["things"]

    @mongo.translate_errors
    async def change() -> Any:
        return await things.find_one_and_update({"_id": "one"}, {"$set": {"a": 1}})

    @mongo.translate_errors
    async def change_many() -> Any:
        return await things.bulk_write([UpdateOne({"_id": "one"}, {"$set": {"a": 1}})], ordered=False)

    error = {"code": SHUTDOWN_IN_PROGRESS, "errmsg": "Replication is being shut down"}
    async with fail(failing, ["findAndModify", "update"], {"writeConcernError": error, "errorLabels": []}):
        for call in (change, change_many):
            with pytest.raises(Unavailable):
                await call()
    client.close()


async def test_a_call_that_hangs_is_unavailable_after_the_socket_timeout(failing: Mongod) -> None:
    client = mongo.connect(failing.uri, app="failing", socket_ms=500)

    @mongo.translate_errors
    async def count() -> int:
        return await client["tests"]["things"].count_documents({})

    await count()
    async with fail(failing, ["aggregate"], {"blockConnection": True, "blockTimeMS": 6_000}):
        async with asyncio.timeout(15):
            with pytest.raises(Unavailable):
                await count()
    client.close()


@pytest.mark.parametrize(("lease", "expected"), [(3.0, 5_000), (30.0, 10_000), (600.0, 20_000)])
def test_the_socket_timeout_is_a_heartbeats_interval_within_bounds(lease: float, expected: int) -> None:
    assert mongo.socket_ms_for(lease) == expected


async def test_a_service_that_holds_leases_has_a_socket_timeout_that_fits_them(mongo_uri: str, nats_url: str) -> None:
    settings = RpcSettings(mongodb_uri=mongo_uri, nats_url=nats_url)
    async with service_runtime("tests", settings, lease=30.0) as runtime:
        assert runtime.client.delegate.options.pool_options.socket_timeout == 10.0
    async with service_runtime("tests", settings) as runtime:
        assert runtime.client.delegate.options.pool_options.socket_timeout == mongo.MAX_SOCKET_MS / 1_000


async def test_concurrent_inserts_of_one_id_store_one_document(database: mongo.Database) -> None:
    new = [{"_id": "one", "number": number, "text": "$$NOW"} for number in range(20)]
    found = await asyncio.gather(*(mongo.insert_or_get(database["things"], one, {"at": NOW}) for one in new))
    assert len({one["number"] for one in found}) == 1
    assert found[0]["text"] == "$$NOW"
    assert abs(found[0]["at"] - datetime.now(UTC)) < timedelta(seconds=10)
    assert await database["things"].count_documents({}) == 1


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_in_sequence_are_the_whole_list_also_at_equal_times(
    database: mongo.Database, newest_first: bool
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    times = [at + timedelta(seconds=n // 3) for n in range(10)]
    await database["things"].insert_many({"_id": f"{n:02}", "at": one} for n, one in enumerate(times))
    seen: list[str] = []
    after = None
    while page := await mongo.page(database["things"], {}, after=after, limit=4, by="at", newest_first=newest_first):
        seen += [one["_id"] for one in page]
        after = (page[-1]["at"], page[-1]["_id"])
    assert seen == sorted((f"{n:02}" for n in range(10)), reverse=newest_first)


class Concerns(CommandListener):
    """The read concerns of all queries."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.levels.append(event.command.get("readConcern", {}).get("level", ""))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def test_only_a_document_that_seems_missing_is_read_again_as_a_majority_has_it(mongo_uri: str) -> None:
    concerns = Concerns()
    client: mongo.Client = AsyncIOMotorClient(mongo_uri, readConcernLevel="majority", event_listeners=[concerns])
    things = client["find_current"]["things"]
    await things.replace_one({"_id": 1}, {"_id": 1}, upsert=True)
    assert await mongo.find_current(things, {"_id": 1}) == {"_id": 1}
    assert concerns.levels == ["majority"]
    assert await mongo.find_current(things, {"_id": 2}) is None
    assert concerns.levels == ["majority", "majority", "linearizable"]
    client.close()
