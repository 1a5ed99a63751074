"""The metrics that alerts use are counted when, and only when, the event happens."""

import asyncio
import http.client
import shutil
import uuid
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY
from pymongo.errors import PyMongoError

from deploy.local.servers import NatsServer, free_port
from services.chassis import jetstream, mongo
from services.chassis.blobs.local import LocalStore
from services.chassis.faults import ErrorInfo
from services.chassis.mongo import Database
from services.delivery.deliveries.attempt import Attempt
from services.delivery.deliveries.outcomes import claim_of as delivery_claim
from services.delivery.deliveries.store import DeliveryStore, Lease
from services.delivery.deliveries.worker import Worker as DeliveryWorker
from services.delivery.destinations.contract import DestinationError, Step
from services.exporter.errors import JobFault
from services.exporter.export.file_maker import FileMaker
from services.exporter.export.outcomes import claim_of as export_claim
from services.exporter.jobs.job import FinishedFile, Job, JobState, NewJob
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.store import Lease as JobLease
from services.exporter.jobs.sweep import Sweeper
from services.wire import exporter_pb2 as pb
from tests.integration.delivering import OpenShop
from tests.integration.delivery.test_store import ERROR, new
from tests.integration.exporting import Exporter, eventually, exporter, new_tenant, products
from tests.integration.tracing.spans import door
from tests.tcp_proxy import TcpProxy

FAULT = ErrorInfo("catalogue_unavailable", "The catalogue does not answer.")
OVER = 0.001
"""Seconds of a lease that has expired before the next claim."""


def value(name: str, **labels: str) -> float:
    """A sample as it is now; 0 when it is not there."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def counts(name: str, label: str, *values: str, **others: str) -> list[float]:
    return [value(name, **{label: each}, **others) for each in values]


def grown(before: list[float], after: list[float]) -> list[float]:
    return [late - early for early, late in zip(before, after, strict=True)]


def new_job() -> NewJob:
    return NewJob(str(uuid.uuid4()), "acme", "csv", "{}", "hash", max_attempts=9)


async def claimed(store: JobStore, tenant: str, lease: float) -> JobLease:
    taken: JobLease = await eventually("the job can be claimed", lambda: store.claim(tenant, "w", lease))
    return taken


async def test_jobs_are_counted_by_state_and_the_free_space_of_a_folder_is_reported(
    store: JobStore, tmp_path: Path
) -> None:
    going, failing, waiting, ended = [await store.accept(new_job()) for _ in range(4)]  # claimed in this order
    await claimed(store, going.tenant, 60)
    await store.wait_for_retry(await claimed(store, failing.tenant, 60), FAULT, 60)
    await store.cancel(ended.tenant, ended.id)
    await store.accept(new_job())
    await Sweeper(store, LocalStore(tmp_path), history=60).measure()
    assert counts("exporter_jobs", "state", "accepted", "running", "retry_wait") == [2, 1, 1]
    await store.cancel(waiting.tenant, waiting.id)
    await Sweeper(store, LocalStore(tmp_path), history=60).measure()
    assert counts("exporter_jobs", "state", "accepted", "running", "retry_wait") == [1, 1, 1]
    usage = shutil.disk_usage(tmp_path)
    assert value("exporter_artifact_store_size_bytes") == usage.total
    assert abs(value("exporter_artifact_store_free_bytes") - usage.free) < usage.total / 100


async def test_jobs_are_counted_from_an_index(store: JobStore, database: Database) -> None:
    for _ in range(5):
        await store.accept(new_job())
    await database.command("profile", 2)
    try:
        assert await store.live_counts() == {("acme", JobState.ACCEPTED): 5}
        [looked] = [seen async for seen in database["system.profile"].find({"command.aggregate": "jobs"})]
    finally:
        await database.command("profile", 0)
    assert (looked["docsExamined"], looked["keysExamined"]) == (0, pytest.approx(5, abs=3))


async def test_claims_of_jobs_are_first_claims_retries_or_takeovers(store: JobStore) -> None:
    job = await store.accept(new_job())
    kinds = []
    for lease, ending in ((60.0, "fault"), (OVER, "silence"), (60.0, "shutdown"), (60.0, "")):
        taken = await claimed(store, job.tenant, lease)
        kinds.append(export_claim(taken).kind)
        if ending == "fault":
            await store.wait_for_retry(taken, FAULT, 0)
        elif ending == "shutdown":
            await store.give_back(taken)
    assert kinds == ["first", "retry", "takeover", "retry"]


async def test_claims_of_deliveries_are_first_claims_retries_or_takeovers(database: Database) -> None:
    store = DeliveryStore(database)
    await store.add(new(max_attempts=9))
    kinds = []
    for seconds, ending in ((60.0, "fault"), (OVER, "silence"), (60.0, "fault"), (60.0, "")):
        lease: Lease = await eventually("the delivery can be claimed", partial(store.claim, "acme", "me", seconds))
        kinds.append(delivery_claim(lease).kind)
        if ending == "fault":
            await store.wait_for_retry(lease, ERROR, 0)
    assert kinds == ["first", "retry", "takeover", "retry"]


async def test_a_failed_job_is_counted_by_its_code(clean_uri: str, nats_url: str, tmp_path: Path) -> None:
    labels = {"format": "csv", "code": "artifact_store_unavailable"}
    before = value("exporter_failures_total", **labels)
    async with exporter(clean_uri, nats_url, tmp_path, job_max_attempts=2) as running:
        tenant = new_tenant()
        await running.fill(tenant, products(3))
        shutil.rmtree(running.folder)
        job = await running.create(tenant)

        async def failed() -> bool:
            return bool((await running.document(job))["state"] == "failed")

        await eventually("the job has failed", failed)
        await eventually("it is counted", lambda: _is(value("exporter_failures_total", **labels), before + 1))


async def test_an_export_that_fails_after_its_job_was_cancelled_counts_as_fenced(
    running: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    outcomes = ("fenced", "retried", "failed")
    before = counts("exporter_attempts_total", "outcome", *outcomes, format="csv")

    async def cancelled_and_failed(_: FileMaker, job: Job, *__: object) -> FinishedFile:
        await running.cancel(await running.get(pb.Job(tenant=tenant, id=job.id)))
        raise JobFault("artifact_store_unavailable", "The file is gone.", transient=True)

    monkeypatch.setattr(FileMaker, "make", cancelled_and_failed)
    job = await running.create(tenant)

    async def counted() -> bool:
        return grown(before, counts("exporter_attempts_total", "outcome", *outcomes, format="csv")) == [1, 0, 0]

    await eventually("it is counted", counted)
    assert (await running.get(job)).state == pb.JOB_STATE_CANCELLED


@pytest.mark.full
async def test_a_delivery_that_fails_after_its_lease_was_lost_counts_as_fenced(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_shop() as shop:
        await shop.platform()
        outcomes = ("fenced", "retried", "failed")
        before = counts("delivery_attempts_total", "outcome", *outcomes, type="sftp")

        async def taken_over_and_failed(_: DeliveryWorker, lease: Lease, __: object) -> Attempt:
            await shop.deliverer.database["deliveries"].update_one({"_id": lease.delivery.id}, {"$inc": {"fence": 1}})
            monkeypatch.undo()
            raise DestinationError(Step.WRITE, "no_answer", "The server is silent.", transient=True)

        monkeypatch.setattr(DeliveryWorker, "attempt", taken_over_and_failed)
        job = await shop.exporter.create(shop.tenant)
        await shop.deliverer.delivered(job)
        assert grown(before, counts("delivery_attempts_total", "outcome", *outcomes, type="sftp")) == [1, 0, 0]


async def test_a_failed_delivery_is_counted_by_type_and_code(open_shop: OpenShop) -> None:
    async with open_shop() as shop:
        await shop.platform(shop.rig.wrong_credentials())
        job = await shop.exporter.create(shop.tenant)
        labels = {"type": "sftp", "code": "wrong_credentials"}
        before = value("delivery_failures_total", **labels)
        assert (await shop.deliverer.failed(job)).error.code == labels["code"]
        await eventually("it is counted", lambda: _is(value("delivery_failures_total", **labels), before + 1))


@pytest.mark.usefixtures("clean_uri")  # the metric is the process's, so no other service may run in it
async def test_a_lost_connection_to_nats_is_reported(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, free_port())
    async with jetstream.connecting(server.url, name="tests") as _:
        server.start()
        await eventually("it is connected", lambda: _is(value("nats_connected"), 1))
        server.stop()
        await eventually("it is not", lambda: _is(value("nats_connected"), 0))


async def test_lost_connections_to_mongodb_are_counted(mongo_uri: str) -> None:
    at = urlsplit(mongo_uri)
    assert at.hostname and at.port
    with TcpProxy(at.hostname, at.port) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        client = mongo.connect(uri, app="tests", selection_ms=500)
        assert await mongo.answers(client)
        before = value("mongodb_pools_cleared_total")
    try:
        with pytest.raises(PyMongoError):
            await client.admin.command("ping")
        await eventually("it is counted", lambda: _is(value("mongodb_pools_cleared_total") > before, True))
    finally:
        client.close()


async def test_no_client_can_add_label_values(clean_uri: str, running: Exporter, open_shop: OpenShop) -> None:
    async with open_shop() as shop, door(clean_uri, shop.tenant, running.folder, running, shop.deliverer) as client:
        at = urlsplit(client.rest.url)

        def ask(method: str, path: str) -> int:
            assert at.hostname
            connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
            connection.request(method, path)
            status = connection.getresponse().status
            connection.close()
            return status

        for method in ("PROPFIND", "MKCALENDAR", "GET"):
            assert await asyncio.to_thread(ask, method, f"/some/path/{uuid.uuid4()}") == 404
        await asyncio.to_thread(ask, "GET", f"/api/v1/exports/jobs/{uuid.uuid4()}")
    seen = [
        sample.labels
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "gateway_request_seconds_count"
    ]
    assert {"method": "_OTHER", "route": "(none)", "status": "404"} in seen
    assert {"method": "GET", "route": "/api/v1/exports/jobs/{job_id}", "status": "401"} in seen
    assert {labels["method"] for labels in seen} <= {"GET", "HEAD", "POST", "_OTHER"}


async def _is(found: object, wanted: object) -> bool:
    return found == wanted
