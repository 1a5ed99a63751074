"""Exports that read from secondaries: members that lag, forget the snapshot, change roles or die."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from python_calamine import CalamineWorkbook

from services.chassis import mongo
from services.chassis.mongo import Document
from services.exporter.catalogue.snapshot import Snapshot, SnapshotLost, database_name, snapshot
from services.exporter.errors import JobFault
from services.wire import exporter_pb2 as pb
from tests.integration.cluster.replica_set import ReplicaSet
from tests.integration.exporting import Exporter, eventually, exporter, new_tenant
from tests.system import eventually as blocking_eventually

pytestmark = pytest.mark.full

ROWS = 5_000
"""Five batches."""


@pytest.fixture(scope="module")
def shared_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ExitStack() as stack:
        yield ReplicaSet(tmp_path_factory.mktemp("catalogues"), stack)


@pytest.fixture
def tenant(shared_set: ReplicaSet) -> str:
    """A tenant with two sheets of the version 1, which all members have."""
    made = new_tenant()
    replace(shared_set, made, version=1)
    for member in shared_set.members:
        for sheet in ("products", "suppliers"):
            shared_set.until_seen(member, database_name(made), sheet, {"version": 1}, ROWS)
    return made


def connected(uri: str) -> MongoClient[Document]:
    """A client as the exporter uses it for catalogues."""
    return mongo.connect_sync(uri, app="tests", selection_ms=10_000)


def replace(members: ReplicaSet, tenant: str, version: int) -> None:
    """Write both sheets anew."""
    for sheet in ("products", "suppliers"):
        documents = [{"_id": f"{sheet}-{n:05}", "text": "x" * 200, "version": version} for n in range(ROWS)]
        members.write(database_name(tenant), sheet, documents)


async def exported(running: Exporter, tenant: str) -> pb.Job:
    """A finished export of both sheets."""
    return await running.completed(tenant, "excel", {"include_sheets": ["products", "suppliers"]})


async def versions(running: Exporter, job: pb.Job) -> dict[str, set[int]]:
    """The versions in the file of a completed job, by sheet; every row is there."""
    [key] = await running.keys(job)
    book = CalamineWorkbook.from_path(running.folder / key)
    found = {}
    for name in book.sheet_names:
        header, *rows = book.get_sheet_by_name(name).to_python()
        number, version = header.index("id"), header.index("version")
        assert len({row[number] for row in rows}) == len(rows) == ROWS, name
        found[name.lower()] = {int(str(row[version]).partition(".")[0]) for row in rows}
    return found


async def test_only_the_chosen_secondary_is_read(
    shared_set: ReplicaSet, tenant: str, clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    uri = shared_set.uri("secondary", "b")
    async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=uri) as running:
        before = [member.documents_returned() for member in shared_set.members]
        job = await exported(running, tenant)
        grown = [member.documents_returned() - old for member, old in zip(shared_set.members, before, strict=True)]
        assert await versions(running, job) == {"products": {1}, "suppliers": {1}}
    from_a, from_b, from_c = grown
    assert from_b >= 2 * ROWS
    assert max(from_a, from_c) < ROWS  # they read the oplog of each other


async def test_a_secondary_that_lags_gives_an_older_catalogue_as_a_whole(
    shared_set: ReplicaSet, tenant: str, clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    uri = shared_set.uri("secondary", "b")
    async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=uri) as running:
        with shared_set.b.lagging():
            replace(shared_set, tenant, version=2)
            job = await exported(running, tenant)
            assert await versions(running, job) == {"products": {1}, "suppliers": {1}}
        shared_set.until_seen(shared_set.b, database_name(tenant), "suppliers", {"version": 2}, ROWS)
        job = await exported(running, tenant)
        assert await versions(running, job) == {"products": {2}, "suppliers": {2}}


def test_all_sheets_come_from_one_member_so_none_waits_for_another_that_lags(
    shared_set: ReplicaSet, tenant: str
) -> None:
    """A read of a snapshot that a member has not reached yet waits until it has."""
    seen = set()
    with shared_set.b.lagging(), connected(shared_set.uri("secondary")) as client:
        replace(shared_set, tenant, version=2)
        shared_set.until_seen(shared_set.c, database_name(tenant), "suppliers", {"version": 2}, ROWS)
        for _ in range(20):
            with snapshot(client, tenant) as view:
                found = {
                    version
                    for sheet in ("products", "suppliers")
                    for batch in view.batches(sheet, {}, None)
                    for version in (document["version"] for document in bson.decode_all(batch))
                }
            assert len(found) == 1
            seen |= found
    assert seen == {1, 2}  # of b and of c


def test_a_query_that_hangs_is_killed_on_the_member_where_it_runs(shared_set: ReplicaSet, tenant: str) -> None:
    database = database_name(tenant)
    hours: dict[str, Any] = {"$where": "sleep(1000) || true"}
    faults: list[JobFault] = []

    def read(view: Snapshot) -> None:
        try:
            list(view.batches("products", hours, None))
        except JobFault as exc:
            faults.append(exc)

    with connected(shared_set.uri("secondary", "b")) as client:
        with snapshot(client, tenant) as view:
            reading = threading.Thread(target=read, args=(view,), daemon=True)
            reading.start()
            blocking_eventually("b is asked", lambda: shared_set.b.running(database))
        blocking_eventually("the query has ended", lambda: not shared_set.b.running(database))
        reading.join(30)
    assert len(faults) == 1


def test_a_snapshot_needs_no_primary(tmp_path: Path) -> None:
    with ExitStack() as stack:
        members = ReplicaSet(tmp_path, stack)
        tenant = new_tenant()
        replace(members, tenant, version=1)
        members.until_seen(members.b, database_name(tenant), "suppliers", {"version": 1}, ROWS)
        for one in (members.a, members.c):
            one.kill()
        with connected(members.uri("secondaryPreferred")) as client, snapshot(client, tenant) as view:
            found = b"".join(view.batches("products", {}, None))
            assert len(bson.decode_all(found)) == ROWS


def test_a_secondary_forgets_its_snapshots_by_itself(shared_set: ReplicaSet, tenant: str) -> None:
    with connected(shared_set.uri("secondary", "b")) as client, snapshot(client, tenant) as view:
        assert b"".join(view.batches("products", {}, None))
        shared_set.forget_snapshots(shared_set.c)
        assert b"".join(view.batches("products", {}, None))
        shared_set.forget_snapshots(shared_set.b)
        with pytest.raises(SnapshotLost):
            b"".join(view.batches("suppliers", {}, None))


class Interruption:
    """Does something once, between the first and the second batch of the first read of a sheet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sheet: str, do: Callable[[], None]) -> None:
        self.happened = 0
        original = Snapshot.batches

        def batches(view: Snapshot, collection: str, *arguments: Any, **named: Any) -> Generator[bytes, None, None]:
            for batch in original(view, collection, *arguments, **named):
                yield batch
                if collection == sheet and not self.happened:
                    self.happened = 1
                    do()

        monkeypatch.setattr(Snapshot, "batches", batches)


async def test_an_export_whose_snapshot_a_secondary_has_forgotten_begins_again(
    shared_set: ReplicaSet,
    tenant: str,
    clean_uri: str,
    nats_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def change() -> None:
        replace(shared_set, tenant, version=2)
        shared_set.until_seen(shared_set.b, database_name(tenant), "suppliers", {"version": 2}, ROWS)
        shared_set.forget_snapshots(shared_set.b)

    interruption = Interruption(monkeypatch, "products", change)
    uri = shared_set.uri("secondary", "b")
    async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=uri) as running:
        job = await exported(running, tenant)
        assert interruption.happened
        assert await versions(running, job) == {"products": {2}, "suppliers": {2}}
        assert job.attempt == 1


@pytest.mark.parametrize("chosen", ["b", "c"])
async def test_an_export_outlives_a_step_down_whoever_becomes_primary(
    shared_set: ReplicaSet,
    tenant: str,
    clean_uri: str,
    nats_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: str,
) -> None:
    """The member that is read stays readable, even if it becomes primary itself."""
    member = {"b": shared_set.b, "c": shared_set.c}[chosen]
    interruption = Interruption(monkeypatch, "products", lambda: shared_set.elect(member))
    uri = shared_set.uri("secondaryPreferred", "b", "")
    try:
        async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=uri) as running:
            job = await exported(running, tenant)
            assert interruption.happened
            assert await versions(running, job) == {"products": {1}, "suppliers": {1}}
            assert job.attempt == 1
    finally:
        for one in shared_set.members:
            if one.is_secondary:
                one.command("replSetFreeze", 0)
        blocking_eventually("a is primary again", lambda: shared_set.a.is_primary)


async def test_an_export_begins_again_elsewhere_when_the_member_it_reads_dies(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        members = ReplicaSet(tmp_path, stack)
        tenant = new_tenant()
        replace(members, tenant, version=1)
        members.until_seen(members.b, database_name(tenant), "suppliers", {"version": 1}, ROWS)
        interruption = Interruption(monkeypatch, "products", members.b.kill)
        uri = members.uri("secondaryPreferred", "b", "")
        async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=uri) as running:
            job = await exported(running, tenant)
            assert interruption.happened
            assert await versions(running, job) == {"products": {1}, "suppliers": {1}}
            assert job.attempt == 2


async def test_without_any_secondary_jobs_wait_and_go_on_when_there_is_one_again(
    shared_set: ReplicaSet, tenant: str, clean_uri: str, nats_url: str, tmp_path: Path
) -> None:
    """`secondary` alone is not enough for that; `secondaryPreferred` would read from the primary."""
    uri = shared_set.uri("secondary", "nobody")
    async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=shared_set.uri("secondary", "b")) as running:
        job = await exported(running, tenant)
    async with exporter(clean_uri, nats_url, tmp_path, catalogue_uri=uri, worker_jobs=1) as running:
        # Accepted by the exporter that could check it; this one cannot read.
        document = await running.document(job)
        await running.jobs.insert_one({**document, "_id": "waiting", "state": "accepted", "attempt": 0, "fence": 0})

        async def waits() -> bool:
            found = await running.jobs.find_one({"_id": "waiting"})
            return found is not None and found.get("error", {}).get("code") == "catalogue_unavailable"

        await eventually("the job waits for its next attempt", waits)
