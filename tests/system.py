"""The whole system for tests: real mongod and nats-server, and the services as processes that can be killed."""

import base64
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from deploy.local.servers import Mongod, NatsServer, free_port
from deploy.local.services import rpc_is_ready
from tests.rest import Rest

ROOT = Path(__file__).parent.parent


def eventually(what: str, holds: Callable[[], Any], within: float = 30.0, every: float = 0.05) -> Any:
    """The first true answer of `holds`, asked every so many seconds; fails after `within`."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := holds():
            return answer
        time.sleep(every)
    raise AssertionError(f"not within {within} s: {what}")


class Process:
    """One service as a child process with a log file."""

    def __init__(self, module: str, env: dict[str, str], log: Path) -> None:
        self.module = module
        self._env = env
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", self.module]
            env = {**os.environ, **self._env}
            self._child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

    @property
    def has_ended(self) -> bool:
        return self._child is not None and self._child.poll() is not None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM, within: float = 30.0) -> None:
        """Send the signal and wait for the end."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.send_signal(number)
        self._child.wait(within)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


class System:
    """mongod, nats-server, an exporter and a gateway on free ports below one folder; the others if wanted."""

    def __init__(
        self, folder: Path, *, with_delivery: bool = False, with_scheduler: bool = False, **settings: str
    ) -> None:
        self.folder = folder
        self.mongod = Mongod(folder / "mongo", free_port())
        self.nats = NatsServer(folder / "nats", free_port())
        self._settings = settings
        self.rpc_port, self.http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.exporter = Process("services.exporter", {}, folder / "exporter.log")
        self.gateway = Process("services.gateway", {}, folder / "gateway.log")
        self.delivery_port = free_port() if with_delivery or with_scheduler else 0
        self.scheduler_port = free_port() if with_scheduler else 0
        self.delivery = Process("tests.delivery_process", {}, folder / "delivery.log")
        self.scheduler = Process("services.scheduler", {}, folder / "scheduler.log")

    def start(self) -> None:
        self.mongod.start()
        self.nats.start()
        self.exporter = self.service("services.exporter", "exporter", GRPC_PORT=str(self.rpc_port))
        self.gateway = self.service("services.gateway", "gateway")
        self.delivery = self.service("tests.delivery_process", "delivery", GRPC_PORT=str(self.delivery_port))
        self.scheduler = self.service("services.scheduler", "scheduler", GRPC_PORT=str(self.scheduler_port))
        for process in self._processes:
            process.start()
        self.wait_ready()

    @property
    def _processes(self) -> list[Process]:
        """Those wanted, in the order of their start."""
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
            "SIGNING_KEY": "a signing key for tests, not a secret",
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
        for process in reversed(self._processes):
            process.end()
        self.nats.stop()
        self.mongod.stop()

    def wait_ready(self, within: float = 30.0) -> None:
        def ready() -> bool:
            ended = [process.module for process in self._processes if process.has_ended]
            assert not ended, f"ended while they started: {ended}"
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{self.url}/readyz") as answer,
            ):
                return bool(answer.status == 200) and all(map(rpc_is_ready, others))
            return False

        others = [port for port in (self.delivery_port, self.scheduler_port) if port]

        try:
            eventually("all services are ready", ready, within)
        except AssertionError as exc:
            logs = "\n".join(process.log[-3000:] for process in self._processes)
            raise AssertionError(f"{exc}\n{logs}") from exc

    def key(self, tenant: str, scopes: str = "*", *more: str) -> str:
        """A new API key."""
        command = [sys.executable, "-m", "services.gateway.auth.keys", "create", "--tenant", tenant, "--scopes", scopes]
        env = {**os.environ, "MONGODB_URI": self.mongod.uri}
        command += ["--name", "tests", "--quiet", *more]
        return subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.strip()

    def client(self, tenant: str) -> Rest:
        """A REST client with a key of its own."""
        return Rest(self.url, self.key(tenant))

    @contextlib.contextmanager
    def mongo(self) -> Iterator[MongoClient[dict[str, Any]]]:
        with MongoClient[dict[str, Any]](self.mongod.uri, tz_aware=True) as client:
            yield client

    def fill(self, tenant: str, documents: list[dict[str, Any]], collection: str = "products") -> None:
        """Put documents into a tenant's catalogue as they are."""
        with self.mongo() as client:
            found = client[f"catalogue_{tenant}"][collection]
            for start in range(0, len(documents), 10_000):
                found.insert_many(documents[start : start + 10_000])


def wide_products(count: int) -> list[dict[str, Any]]:
    """Products of 60 columns: 100,000 keep an Excel export busy for seconds, so that a test can meet its midst."""
    columns = {f"text{column}": "x" * 20 for column in range(60)}
    return [{"_id": n, **columns} for n in range(count)]


@contextlib.contextmanager
def running(
    folder: Path, *, with_delivery: bool = False, with_scheduler: bool = False, **settings: str
) -> Iterator[System]:
    """A system that is stopped at the end, whatever happened."""
    folder.mkdir(parents=True, exist_ok=True)
    system = System(folder, with_delivery=with_delivery, with_scheduler=with_scheduler, **settings)
    try:
        system.start()
        yield system
    finally:
        system.stop()
