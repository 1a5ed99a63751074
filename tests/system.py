"""The whole system for tests: real mongod and nats-server, and the services as processes that can be killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from deploy.local.servers import Mongod, NatsServer
from tests.rest import Rest

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: str, holds: Callable[[], Any], within: float = 30.0) -> Any:
    """The first true answer of `holds`; fails after so many seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := holds():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {within} s: {what}")


class Process:
    """One service as a child process with a log file."""

    def __init__(self, module: str, env: dict[str, str], log: Path) -> None:
        self._module = module
        self._env = env
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", self._module]
            env = {**os.environ, **self._env}
            self._child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

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
    """mongod, nats-server, an exporter and a gateway on free ports below one folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.mongod = Mongod(folder / "mongo", free_port())
        self.nats = NatsServer(folder / "nats", free_port())
        self._settings = settings
        self.rpc_port, self.http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.exporter = Process("services.exporter", {}, folder / "exporter.log")
        self.gateway = Process("services.gateway", {}, folder / "gateway.log")

    def start(self) -> None:
        self.mongod.start()
        self.nats.start()
        self.exporter = self.service("services.exporter", "exporter", GRPC_PORT=str(self.rpc_port))
        self.gateway = self.service("services.gateway", "gateway")
        self.exporter.start()
        self.gateway.start()
        self.wait_ready()

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
        }
        return Process(module, {**shared, **self._settings, **env}, self.folder / f"{name}.log")

    def stop(self) -> None:
        for process in (self.gateway, self.exporter):
            process.end()
        self.nats.stop()
        self.mongod.stop()

    def wait_ready(self, within: float = 30.0) -> None:
        def ready() -> bool:
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{self.url}/readyz") as answer,
            ):
                return bool(answer.status == 200)
            return False

        try:
            eventually("gateway and exporter are ready", ready, within)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.exporter.log[-3000:]}\n{self.gateway.log[-3000:]}") from exc

    def key(self, tenant: str, scopes: str = "*", *more: str) -> str:
        """A new API key."""
        command = [sys.executable, "-m", "services.gateway.keys", "create", "--tenant", tenant, "--scopes", scopes]
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


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[System]:
    """A system that is stopped at the end, whatever happened."""
    folder.mkdir(parents=True, exist_ok=True)
    system = System(folder, **settings)
    try:
        system.start()
        yield system
    finally:
        system.stop()
