"""What the audit log costs when jobs are accepted: the same exporter with and without it, in turns."""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from pymongo import MongoClient

from benchmarks.report import Report
from benchmarks.system import SETTINGS, System
from deploy.local.processes.children import Child
from deploy.local.servers import free_port
from deploy.local.services import rpc_is_ready
from services.wire import exporter_pb2 as pb
from services.wire import exporter_pb2_grpc

ROUNDS = 5
CALLS = 100
"""Per round and exporter."""
CLIENTS = (1, 8, 64)
UNRECORDED = """
from services.chassis.audit.calls import CallRecorder
async def call(self, method, metadata, request, check, handle):
    return await handle(check(request))
CallRecorder.call = call
import runpy
runpy.run_module("services.exporter", run_name="__main__")
"""


def measure(system: System, report: Report) -> None:
    """Accept jobs at two exporters without workers; the jobs are removed at the end."""
    system.fill(100)
    with _exporters(system) as (recorded, unrecorded):
        asyncio.run(_measure(system, report, recorded, unrecorded))


async def _measure(system: System, report: Report, recorded: int, unrecorded: int) -> None:
    async with _stub(recorded) as one, _stub(unrecorded) as other:
        for clients in CLIENTS:
            await _round(system, one, clients)
            await _round(system, other, clients)
            latencies: tuple[list[float], list[float]] = ([], [])
            rates: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS):
                for stub, found, rate in ((one, latencies[0], rates[0]), (other, latencies[1], rates[1])):
                    started = time.perf_counter()
                    found += await _round(system, stub, clients)
                    rate.append(CALLS / (time.perf_counter() - started))
            report.add(
                f"accepting a job with the audit log, {clients} clients",
                _text(latencies[0], rates[0]),
                compared=f"without: {_text(latencies[1], rates[1])}; ratio of p50 "
                f"{statistics.median(latencies[0]) / statistics.median(latencies[1]):.2f}",
            )


def _text(latencies: list[float], rates: list[float]) -> str:
    ordered = sorted(latencies)
    p99 = ordered[int(len(ordered) * 0.99)]
    return f"{statistics.median(rates):,.0f}/s, p50 {statistics.median(ordered) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"


async def _round(system: System, stub: Any, clients: int) -> list[float]:
    """Seconds that each call took. The jobs are removed, so that the limit of live jobs is never near."""
    latencies: list[float] = []
    left = iter(range(CALLS))

    async def client() -> None:
        for _ in left:
            started = time.perf_counter()
            await stub.CreateJob(pb.CreateJobRequest(tenant=system.tenant, format="csv"))
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(client() for _ in range(clients)))
    with MongoClient[dict[str, Any]](system.mongodb_uri) as mongo:
        mongo["exporter"]["jobs"].delete_many({"tenant": system.tenant})
    return latencies


@contextlib.asynccontextmanager
async def _stub(port: int) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield exporter_pb2_grpc.ExporterServiceStub(channel)


class _Exporter(Child):
    """An exporter that only accepts jobs."""

    def __init__(self, name: str, command: Sequence[str], system: System) -> None:
        super().__init__(name, system.stack.folder / "logs" / f"{name}.log")
        self.port = free_port()
        self._command = command
        self._env = {
            "MONGODB_URI": system.mongodb_uri,
            "NATS_URL": system.stack.nats_url,
            "ARTIFACTS_URL": (system.stack.folder / "artifacts").as_uri(),
            "GRPC_PORT": str(self.port),
            "METRICS_PORT": "0",
            "WORKER_JOBS": "0",
            **SETTINGS,
        }

    def launch(self) -> None:
        self.spawn([sys.executable, *self._command], self._env)

    def is_ready(self) -> bool:
        return rpc_is_ready(self.port)


@contextmanager
def _exporters(system: System) -> Iterator[tuple[int, int]]:
    """The ports of an exporter with the audit log and of one without; the stack's worker is stopped meanwhile."""
    worker = system.stack.child("exporter-worker")
    worker.stop()
    recorded = _Exporter("recorded", ["-m", "services.exporter"], system)
    unrecorded = _Exporter("unrecorded", ["-c", UNRECORDED], system)
    try:
        recorded.start()
        unrecorded.start()
        yield recorded.port, unrecorded.port
    finally:
        recorded.stop()
        unrecorded.stop()
        worker.start()
