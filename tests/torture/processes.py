"""Processes that can be killed, stopped and given a wrong clock."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.processes.children import Child
from deploy.local.servers import HOST, Mongod, NatsServer
from deploy.local.servers.mongod import REPLICA_SET
from deploy.local.servers.seaweedfs import SeaweedFS
from deploy.local.services import Service, ServiceChild

SHARED_MEMORY = Path("/dev/shm")
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""Of Debian's package `faketime`; without it, no clock is set wrong."""

NOT_LOCKED = "called when not locked"


class Tortured(Child):
    """A child that can be stopped, and whose clock is wrong by `clock` seconds from its next launch on."""

    clock = 0.0

    def spawn(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        super().spawn(command, {**(env or {}), **self._faketime()})

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def stop(self, timeout: float = 30.0) -> None:
        self.send(signal.SIGCONT)
        super().stop(timeout)

    def kill(self) -> None:
        pid = self.pid
        super().kill()
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):  # a killed process leaves them
            (SHARED_MEMORY / name).unlink(missing_ok=True)

    def _faketime(self) -> dict[str, str]:
        if not self.clock or FAKETIME is None:
            return {}
        # Timeouts and pauses use the monotonic clock, which is never wrong.
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": f"{self.clock:+.3f}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(Path(__file__).with_name("wrong_clock")),
        }


class ServiceProcess(Tortured, ServiceChild):
    """One replica of a service."""

    def __init__(self, service: Service, number: int, port: int, env: Mapping[str, str], logs: Path) -> None:
        name = f"{service.name}-{number}"
        super().__init__(service, port, env, logs / f"{name}.log")
        self.name = name


class Nats(Tortured, NatsServer):
    """The NATS server."""


class Member(Tortured, Mongod):
    """A member of the replica set. Others reach it at `address`, where a proxy listens."""

    def __init__(self, number: int, folder: Path, port: int, address: str, logs: Path) -> None:
        super().__init__(folder, port, logs / f"mongod-{number}.log")
        self.name = f"mongod-{number}"
        self.address = address

    def is_ready(self) -> bool:
        """Whether it is primary or secondary; before the set exists, whether it answers."""
        with contextlib.suppress(PyMongoError), self.client() as client:
            hello = client.admin.command("hello")
            return bool(hello.get("isWritablePrimary") or hello.get("secondary") or not hello.get("setName"))
        return False

    @property
    def is_primary(self) -> bool:
        """Whether it is the primary now."""
        with contextlib.suppress(PyMongoError), self.client() as client:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        return False

    def client(self) -> MongoClient[dict[str, Any]]:
        """A client of this member alone, past the proxy."""
        options: dict[str, Any] = {"serverSelectionTimeoutMS": 500, "socketTimeoutMS": 2_000, "connectTimeoutMS": 500}
        return MongoClient(f"mongodb://{HOST}:{self.port}/?directConnection=true", **options)

    def command(self, name: str, value: object = 1, **more: Any) -> None:
        """Run a command of the database `admin`; what it answers does not matter."""
        with contextlib.suppress(PyMongoError), self.client() as client:
            client.admin.command(name, value, **more)

    def unlock(self) -> bool:
        """Let it write again; true once it answers that it is not locked. One call may undo a lock that came late."""
        try:
            with self.client() as client:
                client.admin.command("fsyncUnlock")
        except OperationFailure as exc:
            return NOT_LOCKED in str(exc)
        except PyMongoError:
            return False
        return False


def initiate(members: Sequence[Member]) -> None:
    """Make one replica set of the members. An election begins after two seconds without a primary, not ten."""
    config = {
        "_id": REPLICA_SET,
        "members": [{"_id": number, "host": member.address} for number, member in enumerate(members)],
        "settings": {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500},
    }
    with contextlib.suppress(OperationFailure), members[0].client() as client:
        client.admin.command("replSetInitiate", config)


class Weed(Tortured, SeaweedFS):
    """The S3 server."""


class Receiver(Tortured):
    """A destination of our own: a command that listens on a port."""

    def __init__(self, name: str, command: Sequence[str | Path], port: int, logs: Path) -> None:
        super().__init__(name, logs / f"{name}.log")
        self.port = port
        self._command = command

    def launch(self) -> None:
        self.spawn(self._command)

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1.0):
            return True
        return False


def module(name: str, *arguments: object) -> list[str | Path]:
    """The command that runs a module of the harness."""
    return [sys.executable, "-m", name, *map(str, arguments)]
