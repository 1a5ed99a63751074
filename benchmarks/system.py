"""The system under test: the local stack in its own folder, a catalogue and a REST client."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.catalogue import products
from benchmarks.rest import Rest
from deploy.local.secrets import api_key
from deploy.local.stack import Stack

BATCH = 5_000
POLL_SECONDS = 0.01
TIMEOUT = 1_800.0
# Benchmarks poll far more often than clients should.
SETTINGS = {"RATE_LIMIT": "10000000", "MAX_LIVE_JOBS": "20000", "LOG_LEVEL": "WARNING"}


@dataclass(frozen=True, slots=True)
class System:
    """What a benchmark needs."""

    stack: Stack
    rest: Rest
    tenant: str = "default"

    @property
    def mongodb_uri(self) -> str:
        """Connection string of the stack's mongod."""
        return self.stack.mongodb_uri

    def pid(self, service: str) -> int:
        """Process id of a service."""
        found = self.stack.pids[service]
        if found is None:
            raise RuntimeError(f"{service} is not running; see its log in {self.stack.folder}")
        return found

    def of(self, tenant: str) -> "System":
        """The same system with the API key of another tenant."""
        key = api_key(self.stack.folder / f"api-key-{tenant}", self.mongodb_uri, tenant)
        return System(self.stack, Rest(self.stack.url, key), tenant)

    def fill(self, count: int) -> None:
        """Fill the catalogue with exactly `count` products."""
        with MongoClient[dict[str, Any]](self.mongodb_uri) as client:
            collection = client[f"catalogue_{self.tenant}"]["products"]
            if collection.estimated_document_count() == count:
                return
            collection.drop()
            batch: list[dict[str, Any]] = []
            for product in products(count):
                batch.append(product)
                if len(batch) == BATCH:
                    collection.insert_many(batch, ordered=False)
                    batch = []
            if batch:
                collection.insert_many(batch, ordered=False)

    def export(self, form: str, body: dict[str, Any] | None = None) -> tuple[Any, float]:
        """Export, and return the completed job and the seconds from POST to completed."""
        started = time.perf_counter()
        job = self.rest.call("POST", f"/exports/{form}/products", body or {})
        while job["status"] == "processing":
            if time.perf_counter() - started > TIMEOUT:
                raise RuntimeError(f"not completed within {TIMEOUT:.0f} s: {job}")
            time.sleep(POLL_SECONDS)
            job = self.rest.call("GET", f"/exports/jobs/{job['id']}")
        if job["status"] != "completed":
            raise RuntimeError(f"the export ended as {job['status']}: {job.get('error')}")
        return job, time.perf_counter() - started


@contextmanager
def running(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[System]:
    """Start the system, with these settings on top, and stop it at the end."""
    stack = Stack(folder, env={**SETTINGS, **(env or {})})
    stack.start()
    try:
        yield System(stack, Rest(stack.url, stack.api_key))
    finally:
        stack.stop()
