"""Documents that an older version stored are read, finished and shown.

`data/documents_before_packages.json` was written by the stores of the last version with one flat package per service,
against a real mongod. The file is never regenerated: the documents of users do not change either.
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from services.chassis import mongo
from services.gateway.auth.key_store import KeyStore
from services.wire import delivery_pb2, exporter_pb2
from services.wire import scheduler_pb2 as scheduler_pb
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.delivering import Deliverer, deliverer
from tests.integration.exporting import DEADLINE, Exporter, eventually, exporter, products
from tests.integration.scheduling import Scheduler, scheduler

DOCUMENTS = Path(__file__).parent / "data" / "documents_before_packages.json"
TENANT, NAME = "archive", "products_20261126_000000"


class Stored:
    """The documents, moved in time so that they were stored just now, and the one finished file."""

    def __init__(self) -> None:
        options = json_util.JSONOptions(tz_aware=True, tzinfo=UTC)
        found = json_util.loads(DOCUMENTS.read_text(), json_options=options)
        self.file = found.pop("file").encode()
        age = datetime.now(UTC) - found.pop("stored_at")
        self._age = timedelta(milliseconds=age // timedelta(milliseconds=1))
        self.collections: dict[str, list[dict[str, Any]]] = {name: self._moved(one) for name, one in found.items()}
        [self.platform] = self.collections["delivery.platforms"]
        self.jobs = {job["state"]: job for job in self.collections["exporter.jobs"]}
        self.deliveries = self.collections["delivery.deliveries"]
        self.active, self.paused = sorted(self.collections["scheduler.schedules"], key=lambda one: str(one["name"]))
        self.key = self._moved_key(self.jobs["completed"])

    def _moved(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value + self._age
        if isinstance(value, dict):
            return {name: self._moved(one) for name, one in value.items()}
        return [self._moved(one) for one in value] if isinstance(value, list) else value

    def _moved_key(self, job: dict[str, Any]) -> str:
        """The artifact's key contains the time at which the job was accepted."""
        born = (job["created_at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        key = f"{TENANT}/{job['_id']}/1/export-{born:x}.csv"
        job["artifact"]["key"] = key
        for delivery in self.deliveries:
            delivery["file"]["key"] = key
        return key


@pytest.fixture
async def stored(clean_uri: str, tmp_path: Path, sftp_server: SftpRig) -> AsyncIterator[Stored]:
    """The documents in MongoDB, the file in the store, and the platform's server."""
    sftp_server.clear()
    documents = Stored()
    documents.platform["config"]["port"] = sftp_server.port
    documents.platform["pins"]["host_key"] = sftp_server.config()["host_key"]
    client = mongo.connect(clean_uri, app="tests")
    for name, found in documents.collections.items():
        database, collection = name.split(".")
        await client[database][collection].delete_many({})
        await client[database][collection].insert_many(found)
    await client.drop_database(f"catalogue_{TENANT}")
    await client[f"catalogue_{TENANT}"]["products"].insert_many(products(10))
    file = tmp_path / "artifacts" / documents.key
    file.parent.mkdir(parents=True)
    file.write_bytes(documents.file)
    yield documents
    await client.drop_database(f"catalogue_{TENANT}")
    client.close()


@pytest.fixture
async def old(stored: Stored, clean_uri: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Exporter]:
    """This version's exporter on these documents."""
    async with exporter(clean_uri, nats_url, tmp_path) as started:
        yield started


@pytest.fixture
async def delivering(stored: Stored, clean_uri: str, nats_url: str, old: Exporter) -> AsyncIterator[Deliverer]:
    """This version's delivery service on these documents."""
    async with deliverer(clean_uri, nats_url, old) as started:
        yield started


@pytest.fixture
async def scheduling(stored: Stored, clean_uri: str, nats_url: str, old: Exporter) -> AsyncIterator[Scheduler]:
    """This version's scheduler on these documents."""
    async with scheduler(clean_uri, nats_url, old.running.rpc_port, TENANT) as started:
        yield started


async def test_ended_jobs_are_shown(stored: Stored, old: Exporter) -> None:
    completed, failed, cancelled = [
        await old.get(exporter_pb2.Job(tenant=TENANT, id=stored.jobs[state]["_id"]))
        for state in ("completed", "failed", "cancelled")
    ]
    assert completed.state == exporter_pb2.JOB_STATE_COMPLETED
    assert completed.artifact.file_name == f"{NAME}.csv"
    assert completed.artifact.sha256 == hashlib.sha256(stored.file).hexdigest()
    assert dict(completed.records) == {"products": 1}
    assert (completed.profile_id, completed.profile_version) == ("", 0)
    assert [warning.code for warning in completed.warnings] == ["field_missing"]
    assert (failed.state, failed.error.code) == (exporter_pb2.JOB_STATE_FAILED, "too_many_columns")
    assert cancelled.state == exporter_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize("state", ["accepted", "running", "retry_wait"])
async def test_a_live_job_is_finished(stored: Stored, old: Exporter, state: str) -> None:
    job = exporter_pb2.Job(tenant=TENANT, id=stored.jobs[state]["_id"])
    done = await old.until(job, exporter_pb2.JOB_STATE_COMPLETED)
    assert dict(done.records) == {"products": 10}
    kept = await old.document(job)
    assert kept["fence"] == stored.jobs[state]["fence"] + 1
    assert kept["traceparent"] == stored.jobs[state]["traceparent"]


async def test_a_failed_job_is_retried(stored: Stored, old: Exporter) -> None:
    job = exporter_pb2.Job(tenant=TENANT, id=stored.jobs["failed"]["_id"])
    await old.retry(job)
    await old.until(job, exporter_pb2.JOB_STATE_COMPLETED)


async def test_deliveries_are_shown_and_live_ones_are_finished(
    stored: Stored, delivering: Deliverer, sftp_server: SftpRig
) -> None:
    async def all_delivered() -> bool:
        found = [await delivering.document(delivery_pb2.Delivery(id=one["_id"])) for one in stored.deliveries]
        states = sorted(str(one["state"]) for one in found)
        return states == ["delivered"] * 4 + ["failed"] * 2

    await eventually("live deliveries are delivered", all_delivered)
    by_id = {one.id: one for one in await delivering.deliveries(TENANT)}
    was = {str(one["state"]): by_id[one["_id"]] for one in stored.deliveries if one.get("remote_name")}
    assert was["delivered"].receipt.remote == "exports/catalogue/old.csv"
    assert was["sending"].receipt.remote == f"exports/catalogue/{NAME} (1).csv"
    assert await _errors(delivering, was["sending"]) == ["interrupted", None]
    assert await _errors(delivering, was["retry_wait"]) == ["unreachable", None]
    files = sftp_server.files()
    assert files[f"{NAME} (1).csv"] == files[f"{NAME} (2).csv"] == stored.file
    failed = [one for one in by_id.values() if one.state == delivery_pb2.DELIVERY_STATE_FAILED]
    assert sorted(one.error.code for one in failed) == ["bad_login", "platform_inactive"]
    retried = await delivering.retry(failed[0])
    await delivering.delivered(exporter_pb2.Job(tenant=TENANT, id=retried.job_id))


async def _errors(delivering: Deliverer, delivery: delivery_pb2.Delivery) -> list[str | None]:
    """The codes of the delivery's attempts."""
    return [past.get("trouble", {}).get("code") for past in (await delivering.document(delivery))["attempts"]]


async def test_a_platform_is_shown_changed_and_used(stored: Stored, delivering: Deliverer) -> None:
    platform = await delivering.get(delivery_pb2.Platform(tenant=TENANT, id=stored.platform["_id"]))
    assert '"password": "********"' in platform.config_json
    assert (await delivering.test(platform)).ok
    assert (await delivering.change(platform, name="Other")).name == "Other"
    job = exporter_pb2.Job(tenant=TENANT, id=stored.jobs["accepted"]["_id"])  # its options name the platform
    delivery = await delivering.delivered(job)
    assert delivery.platform_id == platform.id


async def test_schedules_and_runs_are_shown_and_go_on(stored: Stored, scheduling: Scheduler, old: Exporter) -> None:
    active, paused = [
        await scheduling.get(scheduler_pb.Schedule(tenant=TENANT, id=one["_id"]))
        for one in (stored.active, stored.paused)
    ]
    assert (active.schedule_name, active.is_active) == ("Nightly", True)
    assert (paused.cron_expression, paused.timezone) == ("30 6 * * MON-FRI", "Europe/Paris")
    request = scheduler_pb.ListRunsRequest(tenant=TENANT, schedule_id=paused.id)
    runs = (await scheduling.stub.ListRuns(request, timeout=DEADLINE)).runs
    assert sorted((run.is_manual, run.skipped_times) for run in runs) == [(False, 3), (True, 0)]
    [manual] = [run for run in runs if run.is_manual]
    await scheduling.until_run(manual.id, "completed")
    [planned] = (await scheduling.until(active, ["skipped", "completed"]))[1:]
    job = await old.get(exporter_pb2.Job(tenant=TENANT, id=planned["_id"]))
    assert (job.schedule_id, job.schedule_name, job.profile_id) == (active.id, "Nightly", "")
    assert job.artifact.sha256
    assert (await scheduling.update(paused, schedule_name="Other")).schedule_name == "Other"


async def test_an_api_key_is_read_and_revoked(stored: Stored, clean_uri: str) -> None:
    client = mongo.connect(clean_uri, app="tests")
    [document] = stored.collections["gateway.keys"]
    key = await KeyStore(client["gateway"]).get(document["_id"])
    client.close()
    assert key is not None
    assert (key.tenant, key.scopes) == (TENANT, frozenset({"exports:read", "exports:write"}))
    assert key.revoked_at == document["revoked_at"]
