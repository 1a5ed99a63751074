"""Metrics of single tenants: the values of those with most, and never more series than that."""

import json
import uuid
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Gauge

from services.chassis.blobs.local import LocalStore
from services.chassis.mongo import Database
from services.exporter.jobs import tenant_metrics
from services.exporter.jobs.job import Artifact, FinishedFile, NewJob
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.sweep import Sweeper
from services.exporter.jobs.tenant_metrics import OTHERS, SHOWN, TenantMetrics
from services.limits import Limits, LimitSettings

KEPT = 3_600.0


async def accepted(store: JobStore, tenant: str, count: int = 1) -> None:
    for _ in range(count):
        await store.accept(NewJob(str(uuid.uuid4()), tenant, "csv", "{}", "hash", max_attempts=9))


async def completed(store: JobStore, tenant: str, size: int) -> None:
    await accepted(store, tenant)
    lease = await store.claim(tenant, "w", 60)
    assert lease is not None
    assert await store.complete(lease, FinishedFile(Artifact("key", "f", "m", size, "0"), {}, (), KEPT))


def shown(gauge: Gauge, **labels: str) -> dict[str, float]:
    """The samples with these labels, by tenant."""
    [metric] = [metric for metric in REGISTRY.collect() if metric.name == next(iter(gauge.describe())).name]
    return {one.labels["tenant"]: one.value for one in metric.samples if labels.items() <= one.labels.items()}


def limits(folder: Path) -> Limits:
    """100 live jobs; 4 for tenant t11. No limit of bytes; 1,000 for t0."""
    file = folder / "limits.json"
    file.write_text(json.dumps({"t11": {"max_live_jobs": 4}, "t0": {"max_artifact_bytes": 1_000}}))
    return Limits(LimitSettings(max_live_jobs=100, limits_file=file))


async def test_the_tenants_with_most_jobs_are_shown_and_all_others_together(store: JobStore, tmp_path: Path) -> None:
    for number in range(SHOWN + 3):
        await accepted(store, f"t{number}", count=max(1, 5 - number))  # 5, 4, 3, 2, 1, 1, ...
    assert await store.claim("t0", "w", 60)
    sweeper = Sweeper(store, LocalStore(tmp_path), TenantMetrics(store, limits(tmp_path)), history=KEPT)
    await sweeper.measure()
    waiting, running = (shown(tenant_metrics.JOBS, state=state) for state in ("accepted", "running"))
    assert len(waiting) == len(running) == SHOWN + 1
    assert (waiting["t0"], running["t0"], waiting["t1"]) == (4, 1, 4)
    assert (waiting[OTHERS], running[OTHERS]) == (3, 0)
    ratios = shown(tenant_metrics.RATIO, limit="live_jobs")
    assert len(ratios) == SHOWN
    assert (ratios["t11"], ratios["t0"]) == (0.25, 0.05)  # t11 has one job, but may have only four


async def test_a_tenant_without_jobs_is_no_longer_shown(store: JobStore, tmp_path: Path) -> None:
    metrics = TenantMetrics(store, limits(tmp_path))
    sweeper = Sweeper(store, LocalStore(tmp_path), metrics, history=KEPT)
    await completed(store, "t0", 10)
    await metrics.measure_files()
    await accepted(store, "t1")
    await sweeper.measure()
    assert shown(tenant_metrics.JOBS, state="accepted") == {"t1": 1, OTHERS: 0}
    assert await store.claim("t1", "w", 60)
    await sweeper.measure()
    assert shown(tenant_metrics.JOBS, state="accepted") == {"t1": 0, OTHERS: 0}
    assert shown(tenant_metrics.RATIO) == {"t0": 0.01, "t1": 0.01}
    await store._jobs.delete_many({"tenant": "t1"})
    await sweeper.measure()
    assert shown(tenant_metrics.JOBS) == {OTHERS: 0}
    assert shown(tenant_metrics.RATIO) == {"t0": 0.01}


async def test_stored_files_are_added_up_from_an_index(store: JobStore, database: Database, tmp_path: Path) -> None:
    for number in range(SHOWN + 2):
        await completed(store, f"t{number}", 10 * (number + 1))
    await completed(store, "t0", 240)
    await accepted(store, "t1")
    metrics = TenantMetrics(store, limits(tmp_path))
    await database.command("profile", 2)
    try:
        await metrics.measure_files()
        [looked] = [seen async for seen in database["system.profile"].find({"command.aggregate": "jobs"})]
    finally:
        await database.command("profile", 0)
    sizes = shown(tenant_metrics.BYTES)
    assert len(sizes) == SHOWN + 1
    assert (sizes["t0"], sizes["t11"], sizes[OTHERS]) == (250, 120, 20 + 30)
    assert shown(tenant_metrics.RATIO, limit="artifact_bytes") == {"t0": pytest.approx(0.25)}
    assert looked["docsExamined"] == 0
    assert looked["keysExamined"] <= 2 * (SHOWN + 4)
