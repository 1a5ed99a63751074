"""Documents with fields that only a newer version knows: this version reads them and preserves those fields.

During a rolling upgrade both versions work on the same documents.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.chassis import mongo
from services.chassis.faults import ErrorInfo
from services.delivery.deliveries.delivery import File, NewDelivery, Progress, Receipt
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.platforms.platform import Platform
from services.delivery.platforms.secrets import Sealed
from services.delivery.platforms.store import PlatformStore
from services.exporter.export.attempt import Progress as ExportProgress
from services.exporter.jobs.job import Artifact, FinishedFile, NewJob
from services.exporter.jobs.store import JobStore
from services.exporter.profiles.profile import Profile
from services.exporter.profiles.store import ProfileStore
from services.gateway.auth.api_keys import ApiKey
from services.gateway.auth.key_store import KeyStore
from services.scheduler.runs.store import RunStore
from services.scheduler.schedules.schedule import RunState
from tests.integration.delivering import DeliveryFixture
from tests.integration.scheduling import Scheduler

AT = datetime(2026, 3, 15, 9, tzinfo=UTC)
NEW = {"newer": {"a": 1, "list": [{"b": 2}]}}
ERROR = ErrorInfo("unreachable", "No answer.", "connect")


async def extend(collection: mongo.Collection, key: str, *embedded: str) -> None:
    """Add unknown fields to a document and to documents embedded in it, as the next version would."""
    names = ["newer", *(f"{path}.newer" for path in embedded)]
    await collection.update_one({"_id": key}, {"$set": dict.fromkeys(names, NEW["newer"])})


async def kept(collection: mongo.Collection, key: str, *embedded: str) -> bool:
    """Whether all of them are still there."""
    found = await collection.find_one({"_id": key})
    assert found is not None
    return all(_at(found, path) == NEW["newer"] for path in ("newer", *(f"{path}.newer" for path in embedded)))


def _at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document[int(name)] if name.isdigit() else document.get(name)
    return document


async def test_a_job_keeps_fields_of_a_newer_version_from_its_claim_to_its_end(
    store: JobStore, database: mongo.Database
) -> None:
    await store.accept(NewJob("j1", "acme", "csv", "{}", "hash", max_attempts=3))
    await extend(database["jobs"], "j1")
    first = await store.claim("acme", "me", 60.0)
    assert first is not None
    assert await store.wait_for_retry(first, ERROR, 0.0)
    await extend(database["jobs"], "j1", "error")
    lease = await store.claim("acme", "me", 60.0)
    assert lease is not None
    assert await store.heartbeat(lease, ExportProgress(total=2), 60.0)
    assert await kept(database["jobs"], "j1", "error")
    artifact = Artifact("acme/j1/2/export.csv", "products.csv", "text/csv", 10, "0" * 64)
    warnings = (ErrorInfo("field_missing", "No product has the field."),)
    assert await store.complete(lease, FinishedFile(artifact, {"products": 1}, warnings, 60.0))
    await extend(database["jobs"], "j1", "artifact", "warnings.0")
    await store.events_sent(await store.take_events("me", 0.0, 10))
    found = await store.get("acme", "j1")
    assert found is not None
    assert (found.artifact, found.warnings) == (artifact, warnings)
    assert await kept(database["jobs"], "j1", "artifact", "warnings.0")


async def test_a_delivery_keeps_fields_of_a_newer_version_from_its_claim_to_its_end(database: mongo.Database) -> None:
    store, collection = DeliveryStore(database), database["deliveries"]
    file = File("t/j/1/p.csv", "p.csv", ".csv", "text/csv", 10, "0" * 64, "csv", "", AT)
    key = (await store.add(NewDelivery("acme", "j1", "p1", "Shop", "sftp", file, 3))).id
    await extend(collection, key, "file")
    first = await store.claim("acme", "me", 60.0)
    assert first is not None
    assert await store.wait_for_retry(first, ERROR, 0.0)
    await extend(collection, key, "file", "error", "attempts.0", "attempts.0.trouble")
    lease = await store.claim("acme", "me", 60.0)
    assert lease is not None
    assert await store.heartbeat(lease, Progress(sent=5), 60.0)
    assert await kept(collection, key, "file", "error", "attempts.0", "attempts.0.trouble")
    receipt = Receipt("folder/p.csv", "", 10, "0" * 64, {"etag": "x"}, 1.5, was_there=False)
    assert await store.complete(lease, receipt)
    await extend(collection, key, "receipt")
    found = await store.get("acme", key)
    assert found is not None
    assert (found.receipt, found.file, found.attempts[0].error) == (receipt, file, ERROR)
    assert await kept(collection, key, "file", "attempts.0", "attempts.0.trouble", "receipt")


async def test_a_platform_keeps_fields_of_a_newer_version_when_it_is_changed(shop: DeliveryFixture) -> None:
    made = await shop.platform(name="Before")
    await shop.deliverer.test(made)  # which pins its host key
    platforms = shop.deliverer.database["platforms"]
    await extend(platforms, made.id, "secrets.password")
    changed = await shop.deliverer.change(made, name="After")
    assert changed.name == "After"
    assert await kept(platforms, made.id, "secrets.password")
    job = await shop.export()
    await shop.deliverer.delivered(job)
    await shop.deliverer.change(made, {"path": "other"})
    assert await kept(platforms, made.id)


async def test_a_change_of_a_platform_touches_only_what_changed(database: mongo.Database) -> None:
    store = PlatformStore(database)
    config = {"host": "h", "path": "old", "port": 22}
    secrets = {"password": Sealed(1, b"k", b"t")}
    old = await store.add(Platform("p1", "acme", "Shop", "sftp", config, secrets, True, AT, AT, {"host_key": "k"}))
    await extend(database["platforms"], "p1", "config", "secrets.password")
    new = Platform("p1", "acme", "Shop", "sftp", {"host": "h", "path": "new"}, secrets, True, AT, AT)
    changed = await store.change(old, new)
    assert changed is not None
    assert changed.config == {"host": "h", "path": "new", **NEW}
    assert (changed.pins, changed.secrets, changed.version) == ({}, secrets, 2)
    assert await kept(database["platforms"], "p1", "config", "secrets.password")


async def test_a_profile_keeps_fields_of_a_newer_version_when_it_is_changed(database: mongo.Database) -> None:
    store = ProfileStore(database)
    old = await store.add(Profile("p1", "acme", "Before", "csv", "{}", AT, AT))
    await extend(database["profiles"], "p1")
    changed = await store.change(old, replace(old, name="After"))
    assert changed is not None
    assert (changed.name, changed.version) == ("After", 2)
    assert await kept(database["profiles"], "p1")


async def test_a_schedule_and_its_runs_keep_fields_of_a_newer_version(scheduling: Scheduler) -> None:
    made = await scheduling.create()
    await extend(scheduling.schedules, made.id)
    changed = await scheduling.update(made, schedule_name="Other")
    assert changed.schedule_name == "Other"
    assert await kept(scheduling.schedules, made.id), "after a PATCH"
    run_id = await scheduling.fire(made, minutes_ago=5)
    await scheduling.until_run(run_id, "completed")
    await scheduling.planned(made)
    assert await kept(scheduling.schedules, made.id), "after a tick"


async def test_a_run_keeps_fields_of_a_newer_version_to_its_end(
    scheduling: Scheduler, database: mongo.Database
) -> None:
    made = await scheduling.create()
    run_id = await scheduling.fire(made, minutes_ago=5)
    run = await scheduling.until_run(run_id, "completed")
    runs = RunStore(database)
    await database["runs"].insert_one(
        {**run, **NEW, "state": "waiting", "due_at": AT, "started_at": None, "finished_at": None}
    )
    [taken] = await runs.take_due(RunState.WAITING, 60.0, 10)
    assert await runs.submitted(taken.id, 60.0) is not None
    ended = await runs.ended(taken.id, RunState.FAILED, "job_deleted", None)
    assert ended is not None
    assert (ended.state, ended.reason) == (RunState.FAILED, "job_deleted")
    assert await kept(database["runs"], run_id)


async def test_an_api_key_keeps_fields_of_a_newer_version_when_it_is_revoked(database: mongo.Database) -> None:
    store = KeyStore(database)
    key = ApiKey("k1", "acme", "CI", frozenset({"exports:read"}), "0" * 64, AT, None, None)
    await store.add(key)
    await extend(database["keys"], "k1")
    assert await store.get("k1") == key
    revoked = await store.revoke("k1", AT)
    assert revoked is not None
    assert revoked.revoked_at == AT
    assert await kept(database["keys"], "k1")
