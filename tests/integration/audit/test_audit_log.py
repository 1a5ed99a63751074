"""The audit log with a real MongoDB: durable before the change, few writes, and a retention that can be changed."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from services.chassis import mongo
from services.chassis.audit import store as audit_store
from services.chassis.audit.entry import Entry, Origin, Resource, Result
from services.chassis.audit.log import AuditLog, audit_log
from services.chassis.audit.store import AuditStore, EntryFilter
from services.chassis.paging import from_cursor
from services.gateway.auth.api_keys import ApiKey
from services.gateway.auth.key_store import KeyStore
from services.gateway.auth.keys import RecordedKeys
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc
from tests.certificates import Authority
from tests.integration.chassis.certified import Services, channel
from tests.integration.exporting import Exporter, eventually, new_tenant, refused

KEY_ID, ADDRESS = "0123456789ab", "203.0.113.7"
GATEWAY = (("x-caller", "gateway"), ("x-key-id", KEY_ID), ("x-client-address", ADDRESS), ("x-request-id", "r-1"))


@pytest.fixture
async def client(mongo_uri: str) -> AsyncIterator[mongo.Client]:
    opened = mongo.connect(mongo_uri, app="tests")
    yield opened
    opened.close()


def entry(tenant: str, at: datetime | None = None, **more: Any) -> Entry:
    at = at or datetime.now(UTC).replace(microsecond=0)
    return Entry(str(uuid.uuid4()), at, tenant, "job.create", Origin("gateway", "r", KEY_ID), **more)


async def stored(client: mongo.Client, tenant: str, count: int) -> list[dict[str, Any]]:
    """The documents of a tenant once there are so many."""
    entries = client["audit"]["entries"]

    async def found() -> list[dict[str, Any]] | None:
        documents = await entries.find({"tenant": tenant}).sort("_id").to_list(None)
        return documents if len(documents) == count else None

    documents: list[dict[str, Any]] = await eventually(f"{count} entries", found)
    return documents


async def test_entries_that_are_pending_together_are_written_together(client: mongo.Client) -> None:
    tenant, inserts = new_tenant(), list[int]()
    async with audit_log(client) as log:
        insert = log._insert

        async def counted(documents: Any) -> None:
            inserts.append(len(documents))
            await insert(documents)

        log._insert = counted  # type: ignore[method-assign]
        await asyncio.gather(*(log.record(entry(tenant)) for _ in range(1_000)))
        assert await client["audit"]["entries"].count_documents({"tenant": tenant}) == 1_000
        log.note(entry(tenant), is_end=False)
    assert sum(inserts) == 1_000 + 1
    assert len(inserts) < 10
    assert await client["audit"]["entries"].count_documents({"tenant": tenant}) == 1_001  # leaving writes the rest


async def test_a_batch_that_was_written_without_an_answer_can_be_written_again(client: mongo.Client) -> None:
    one, tenant = AuditLog(client), new_tenant()
    document = {"_id": str(uuid.uuid4()), "tenant": tenant, "at": datetime.now(UTC)}
    await one._insert([document])
    await one._insert([document, {**document, "_id": str(uuid.uuid4())}])
    assert await client["audit"]["entries"].count_documents({"tenant": tenant}) == 2


async def test_a_key_whose_creation_is_interrupted_has_no_result(
    client: mongo.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(store: KeyStore, key: ApiKey) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(KeyStore, "add", interrupted)
    tenant = new_tenant()
    key = ApiKey("0123456789ab", tenant, "", frozenset("*"), "", datetime.now(UTC))
    async with audit_log(client) as log:
        with pytest.raises(asyncio.CancelledError):
            await RecordedKeys(client["keys"], log).add(key)
    (found,) = (await AuditStore(client).find(EntryFilter(tenant), before=None, limit=10)).items
    assert (found.action, found.result) == ("key.create", None)


async def test_the_retention_follows_the_setting_at_the_next_start(client: mongo.Client) -> None:
    store = AuditStore(client)

    async def seconds() -> int:
        return int((await client["audit"]["entries"].index_information())["at_1"]["expireAfterSeconds"])

    await store.prepare(30)
    assert await seconds() == 30 * 86_400
    await store.prepare(7)
    assert await seconds() == 7 * 86_400
    await store.prepare(365)
    assert await seconds() == 365 * 86_400


async def test_filters_and_pages(client: mongo.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, store, start = new_tenant(), AuditStore(client), datetime(2999, 3, 15, tzinfo=UTC)
    await store.prepare(365)
    job = Resource("job", str(uuid.uuid4()))
    made = [entry(tenant, start + timedelta(seconds=n), resources=(job,) if n < 3 else ()) for n in range(6)]
    results = [(Result.OK, ""), (Result.REFUSED, "job_not_found"), (Result.FAILED, "internal"), None, None, None]
    async with audit_log(client) as log:
        for one, result in zip(made, results, strict=True):
            await log.record(one)
            if result is not None:
                log.note(one.ended(*result, one.at), is_end=True)

    async def ids(limit: int = 50, **wanted: Any) -> list[int]:
        found, before, pages = list[Entry](), None, 0
        while True:
            page = await store.find(EntryFilter(tenant, **wanted), before=before, limit=limit)
            assert len(page.items) <= limit
            found += page.items
            pages += 1
            if not page.next_cursor:
                return [[one.id for one in made].index(each.id) for each in found]
            before = from_cursor(page.next_cursor)

    assert await ids() == await ids(limit=1) == [5, 4, 3, 2, 1, 0]
    assert await ids(since=start + timedelta(seconds=1), until=start + timedelta(seconds=4)) == [3, 2, 1]
    assert await ids(resource_id=job.id) == await ids(resource_type="job", resource_id=job.id, limit=2) == [2, 1, 0]
    assert await ids(resource_type="platform") == await ids(action="job.delete") == await ids(key_id="f") == []
    assert await ids(result=Result.OK) == [0]
    assert await ids(result=Result.REFUSED) == [1]
    monkeypatch.setattr(audit_store, "SCAN_PAGE", 2)
    monkeypatch.setattr(audit_store, "MAX_SCANNED", 2)
    assert await ids(result=Result.UNKNOWN) == await ids(result=Result.UNKNOWN, limit=1) == [5, 4, 3]
    assert await store.find(EntryFilter(new_tenant()), before=None, limit=1) == audit_store.Found([], "")


async def test_a_call_is_recorded_before_and_after(idle: Exporter) -> None:
    tenant, job_id = new_tenant(), str(uuid.uuid4())
    await idle.fill(tenant, [{"_id": "1", "sku": "A"}])
    request = pb.CreateJobRequest(tenant=tenant, format="csv", options_json='{"utf8_bom": false}', job_id=job_id)
    await idle.stub.CreateJob(request, metadata=GATEWAY)
    before, after = await stored(idle.client, tenant, 2)
    assert after["_id"] == f"{before['_id']}/end"
    assert "result" not in before and before["begins"] and "begins" not in after
    common = {"action": "job.create", "resources": [{"type": "job", "id": job_id}], "request_id": "r-1"}
    common |= {"caller": "gateway", "key_id": KEY_ID, "address": ADDRESS, "at": before["at"]}
    assert common.items() <= before.items() and common.items() <= after.items()
    assert (before["fields"], after["fields"]) == (["format", "options"], ["format", "options.utf8_bom"])
    assert (after["result"], after["code"]) == ("ok", "")


async def test_the_job_of_an_idempotency_key_is_known_before_it_is_made(idle: Exporter) -> None:
    tenant = new_tenant()
    await idle.fill(tenant, [{"_id": "1", "sku": "A"}])
    job = await idle.create(tenant, idempotency_key="nightly")
    before, after = await stored(idle.client, tenant, 2)
    assert before["resources"] == after["resources"] == [{"type": "job", "id": job.id}]
    chosen = await idle.create(tenant)  # the service chooses the id
    assert {"type": "job", "id": chosen.id} in (await stored(idle.client, tenant, 4))[0]["resources"] + (
        await stored(idle.client, tenant, 4)
    )[2]["resources"]


async def test_a_refused_call_is_recorded_without_what_it_contained(idle: Exporter) -> None:
    tenant = new_tenant()
    request = pb.CreateJobRequest(tenant=tenant, format="csv", options_json='{"a_secret_name": "and value"}')
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request"):
        await idle.stub.CreateJob(request, metadata=GATEWAY)
    cancel = pb.CancelJobRequest(tenant=tenant, job_id="a secret and no id")
    async with refused(grpc.StatusCode.NOT_FOUND, "job_not_found"):
        await idle.stub.CancelJob(cancel, metadata=GATEWAY)
    documents = await stored(idle.client, tenant, 4)
    assert {(one["result"], one["code"]) for one in documents if "result" in one} == {
        ("refused", "invalid_request"),
        ("refused", "job_not_found"),
    }
    assert "secret" not in str(documents)


async def test_only_the_gateway_names_the_api_key_and_the_client(idle: Exporter) -> None:
    tenant = new_tenant()
    metadata = (("x-caller", "scheduler"), *GATEWAY[1:])
    async with refused(grpc.StatusCode.NOT_FOUND, "job_not_found"):
        await idle.stub.CancelJob(pb.CancelJobRequest(tenant=tenant, job_id=str(uuid.uuid4())), metadata=metadata)
    for one in await stored(idle.client, tenant, 2):
        assert (one["caller"], one["key_id"], one["address"]) == ("scheduler", "", "")


async def test_read_only_calls_are_not_recorded(idle: Exporter) -> None:
    tenant = new_tenant()
    await idle.stub.ListJobs(pb.ListJobsRequest(tenant=tenant), metadata=GATEWAY)
    async with refused(grpc.StatusCode.NOT_FOUND, "job_not_found"):
        await idle.stub.CancelJob(pb.CancelJobRequest(tenant=tenant, job_id=str(uuid.uuid4())), metadata=GATEWAY)
    assert {one["action"] for one in await stored(idle.client, tenant, 2)} == {"job.cancel"}


@asynccontextmanager
async def unwritable(client: mongo.Client) -> AsyncIterator[None]:
    """MongoDB refuses every new entry."""
    await AuditStore(client).prepare(365)
    await client["audit"].command("collMod", "entries", validator={"no_entry_has_this": True})
    try:
        yield
    finally:
        await client["audit"].command("collMod", "entries", validator={})


async def test_a_change_that_cannot_be_recorded_is_not_made(idle: Exporter) -> None:
    tenant = new_tenant()
    await idle.fill(tenant, [{"_id": "1", "sku": "A"}])
    async with unwritable(idle.client):
        async with refused(grpc.StatusCode.UNAVAILABLE, "audit_unavailable") as told:
            await idle.create(tenant)
        assert told.retry_after
        await idle.stub.ListJobs(pb.ListJobsRequest(tenant=tenant))
    assert await idle.jobs.count_documents({"tenant": tenant}) == 0
    await idle.create(tenant)


async def test_with_mtls_the_caller_is_the_name_in_its_certificate(
    services: Services, authority: Authority, client: mongo.Client
) -> None:
    tenant = new_tenant()
    cancel = pb.CancelJobRequest(tenant=tenant, job_id=str(uuid.uuid4()))
    async with services.exporter(grpc_callers="shop=*") as running:
        for name in ("gateway", "shop", "delivery", "stranger"):
            async with channel(running.rpc_port, authority, authority.issue(name=name)) as opened:
                with pytest.raises(grpc.aio.AioRpcError):
                    await exporter_pb2_grpc.ExporterServiceStub(opened).CancelJob(cancel, metadata=GATEWAY, timeout=20)
        documents = await stored(client, tenant, 5)
    ended = sorted((one["caller"], one["key_id"], one["code"]) for one in documents if "result" in one)
    assert ended == [  # a stranger is only logged and counted
        ("delivery", "", "caller_not_allowed"),
        ("gateway", KEY_ID, "job_not_found"),
        ("shop", "", "job_not_found"),
    ]
