"""The whole system for tests: real mongod and nats-server, and the services as processes that can be killed."""

import asyncio
import base64
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from deploy.local.processes.children import ROOT, Child
from deploy.local.servers import Mongod, NatsServer, free_port
from deploy.local.services import http_is_ready, rpc_is_ready
from services.chassis import mongo
from services.chassis.audit.log import audit_log
from services.gateway.auth.api_keys import ApiKey, check_scopes, digest, new_secret
from services.gateway.auth.keys import RecordedKeys
from tests import copies
from tests.rest import Rest
from tests.waiting import eventually

__all__ = ["ROOT", "Process", "System", "eventually", "running"]


class Process(Child):
    """One service as a child process; `start` does not wait until it is ready."""

    def __init__(self, module: str, env: Mapping[str, str], log: Path) -> None:
        super().__init__(log.stem, log)
        self.module = module
        self._env = env

    def launch(self) -> None:
        self.spawn([sys.executable, "-m", self.module], self._env)

    def is_ready(self) -> bool:
        return True

    def send(self, number: int) -> None:
        assert self.pid is not None, self.exit_status
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send the signal and wait for the end."""
        if self.pid is not None:
            self.send(number)
            eventually(f"{self.name} has ended", lambda: self.pid is None)

    @property
    def output(self) -> str:
        """All that it has logged."""
        return self.log.read_text(errors="replace")


SIGNING_KEY = "a signing key for tests, not a secret"


class System:
    """mongod, nats-server, an exporter and a gateway on free ports below one folder; the other services on request."""

    def __init__(
        self, folder: Path, *, with_delivery: bool = False, with_scheduler: bool = False, **settings: str
    ) -> None:
        self.folder = folder
        self.mongod = Mongod(folder / "mongo", free_port())
        self.nats = NatsServer(folder / "nats", free_port())
        self._settings = settings
        self.rpc_port, self.http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.delivery_port = free_port() if with_delivery or with_scheduler else 0
        self.scheduler_port = free_port() if with_scheduler else 0
        self.exporter = self.service("services.exporter", "exporter", GRPC_PORT=str(self.rpc_port))
        self.gateway_metrics_port = free_port()
        self.gateway = self.service("services.gateway", "gateway", METRICS_PORT=str(self.gateway_metrics_port))
        self.delivery = self.service("tests.delivery_process", "delivery", GRPC_PORT=str(self.delivery_port))
        self.scheduler = self.service("services.scheduler", "scheduler", GRPC_PORT=str(self.scheduler_port))

    def start(self) -> None:
        """Start whatever does not run, and wait until everything is ready."""
        servers = [server for server in (self.mongod, self.nats) if server.pid is None]
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_ready()
        for process in self._processes:
            if process.pid is None:
                process.start()
        self.wait_ready()

    @property
    def _processes(self) -> list[Process]:
        """The wanted services in the order of their start."""
        extras = [(self.delivery_port, self.delivery), (self.scheduler_port, self.scheduler)]
        return [self.exporter, *(process for port, process in extras if port), self.gateway]

    def service(self, module: str, name: str, **env: str) -> Process:
        """A process with this system's environment, not started."""
        shared = {
            "MONGODB_URI": self.mongod.uri,
            "NATS_URL": self.nats.url,
            "ARTIFACTS_URL": (self.folder / "artifacts").as_uri(),
            "METRICS_PORT": "0",
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.http_port),
            "EXPORTER_ADDRESS": f"127.0.0.1:{self.rpc_port}",
            "SIGNING_KEY": SIGNING_KEY,
            "RATE_LIMIT": "1000000",
            "MASTER_KEYS": f"1:{base64.b64encode(b'a master key for tests no secret').decode()}",
            "EGRESS_ALLOW": "127.0.0.0/8",
        }
        if self.delivery_port:
            shared["DELIVERY_ADDRESS"] = f"127.0.0.1:{self.delivery_port}"
        if self.scheduler_port:
            shared["SCHEDULER_ADDRESS"] = f"127.0.0.1:{self.scheduler_port}"
        return Process(module, {**shared, **self._settings, **env}, self.folder / f"{name}.log")

    def stop(self) -> None:
        """End everything, in the order that production uses."""
        for process in reversed(self._processes):
            process.end()
        self.nats.stop()
        self.mongod.stop()

    def wait_ready(self) -> None:
        def ready() -> bool:
            ended = [process.name for process in self._processes if process.pid is None]
            assert not ended, f"ended while they started: {ended}"
            return http_is_ready(self.http_port) and all(map(rpc_is_ready, others))

        others = [port for port in (self.delivery_port, self.scheduler_port) if port]

        try:
            eventually("all services are ready", ready)
        except AssertionError as exc:
            logs = "\n".join(process.output[-3000:] for process in self._processes)
            raise AssertionError(f"{exc}\n{logs}") from exc

    def key(self, tenant: str, scopes: str = "*") -> str:
        """A new API key, stored as the `keys` command does, but without its process, which takes half a second."""
        secret, now = new_secret(), datetime.now(UTC)
        key = ApiKey(secret.id, tenant, "tests", check_scopes(scopes), digest(secret.secret), now)
        with ThreadPoolExecutor(1) as thread:  # the caller may run in an event loop
            thread.submit(asyncio.run, self._store(key)).result()
        return str(secret)

    async def _store(self, key: ApiKey) -> None:
        client = mongo.connect(self.mongod.uri, app="tests")
        try:
            async with audit_log(client) as audit:
                await RecordedKeys(client["gateway"], audit).add(key)
        finally:
            client.close()

    def client(self, tenant: str) -> Rest:
        """A REST client with a new key."""
        return Rest(self.url, self.key(tenant))

    @contextlib.contextmanager
    def mongo(self) -> Iterator[MongoClient[dict[str, Any]]]:
        with MongoClient[dict[str, Any]](self.mongod.uri, tz_aware=True) as client:
            yield client

    def fill(self, tenant: str, documents: list[dict[str, Any]], collection: str = "products") -> None:
        """Insert documents into a tenant's catalogue, except those it has already.

        xdist may return to a module after others, and then its module fixtures run again on the same system.
        """
        with self.mongo() as client:
            catalogue = client[f"catalogue_{tenant}"][collection]
            known = set(catalogue.distinct("_id")) if catalogue.find_one() else set()
            if new := [one for one in documents if one.get("_id") not in known]:
                catalogue.insert_many(new)

    def fill_wide(self) -> str:
        """A tenant with WIDE products; all tests share its catalogue, and each has its own jobs."""
        with self.mongo() as client:
            copies.fill(client, "wide", WIDE_PRODUCT, WIDE)
        return "wide"


WIDE = 40_000
WIDE_PRODUCT = {f"text{column}": "x" * 20 for column in range(60)}
"""A product of 60 columns: an Excel export of so many takes seconds, so a test can act in the middle of it."""


@contextlib.contextmanager
def running(
    folder: Path, *, with_delivery: bool = False, with_scheduler: bool = False, **settings: str
) -> Iterator[System]:
    """A system that is stopped at the end, also after a failure."""
    folder.mkdir(parents=True, exist_ok=True)
    system = System(folder, with_delivery=with_delivery, with_scheduler=with_scheduler, **settings)
    try:
        system.start()
        yield system
    finally:
        system.stop()
