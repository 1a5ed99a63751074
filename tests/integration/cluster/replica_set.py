"""A replica set of three mongods for catalogues, whose members can lag, forget snapshots, step down and be killed."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import SecondaryPreferred
from pymongo.write_concern import WriteConcern

from deploy.local.servers import HOST, free_port, mongod_program
from tests.system import eventually

NAME = "catalogues"
WINDOW = "minSnapshotHistoryWindowInSeconds"
SNAPSHOT_TOO_OLD = 239
Client = MongoClient[dict[str, Any]]


class Member:
    """One mongod, and a client of it alone."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self.address = f"{HOST}:{self.port}"
        folder.mkdir()
        # The options of the component, apart from its login; failpoints need test commands.
        command: list[str | Path] = [mongod_program(), f"--replSet={NAME}", f"--bind_ip={HOST}", f"--port={self.port}"]
        command += [f"--dbpath={folder}", "--nounixsocket", "--oplogSize=64", "--wiredTigerCacheSizeGB=0.25"]
        for parameter in (f"{WINDOW}=3600", "enableTestCommands=1", "diagnosticDataCollectionEnabled=false"):
            command.append(f"--setParameter={parameter}")
        with (folder.parent / f"{name}.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client = self._connected()

    def _connected(self) -> Client:
        return Client(HOST, self.port, directConnection=True, serverSelectionTimeoutMS=2_000)

    def reconnect(self) -> None:
        """The driver remembers of each connection whether the member was of use when it was made."""
        self.client.close()
        self.client = self._connected()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def command(self, name: str, value: object = 1, **more: Any) -> dict[str, Any]:
        """Run a command of the database `admin`."""
        return self.client.admin.command(name, value, **more)

    def answers(self) -> bool:
        try:
            return bool(self.command("ping"))
        except PyMongoError:
            return False

    @property
    def is_primary(self) -> bool:
        return bool(self.command("hello")["isWritablePrimary"])

    @property
    def is_secondary(self) -> bool:
        return bool(self.command("hello").get("secondary"))

    @contextmanager
    def lagging(self) -> Iterator[None]:
        """Inside, it applies nothing that the primary writes."""
        self.command("configureFailPoint", "rsSyncApplyStop", mode="alwaysOn")
        try:
            yield
        finally:
            self.command("configureFailPoint", "rsSyncApplyStop", mode="off")

    def documents_returned(self) -> int:
        """Documents that it has sent since its start."""
        return int(self.command("serverStatus")["metrics"]["document"]["returned"])

    def running(self, database: str) -> list[dict[str, Any]]:
        """The queries of this database that are running."""
        found = self.client.admin.aggregate([{"$currentOp": {"allUsers": True}}])
        return [one for one in found if one.get("ns", "").startswith(f"{database}.")]


class ReplicaSet:
    """Members a, b and c with tags of these names; a is the primary at first, and would rather be it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.a, self.b, self.c = self.members = [Member(name, folder / name) for name in "abc"]
        for member in self.members:
            stack.callback(member.kill)
        for member in self.members:
            eventually("mongod answers", member.answers)
        described = [
            {"_id": n, "host": one.address, "tags": {"member": one.name}, "priority": 2 if one is self.a else 1}
            for n, one in enumerate(self.members)
        ]
        quick = {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500}
        self.a.command("replSetInitiate", {"_id": NAME, "members": described, "settings": quick})
        eventually("a is primary", lambda: self.a.is_primary)
        eventually("the others follow", lambda: self.b.is_secondary and self.c.is_secondary)
        for member in self.members:
            member.reconnect()
            stack.callback(member.client.close)
        self.client = Client(self.uri())
        stack.callback(self.client.close)

    def uri(self, preference: str = "primary", *members: str) -> str:
        """The connection string for reads with this preference; with `members`, from these, in this order.

        An empty name is any member.
        """
        tags = "".join(f"&readPreferenceTags={f'member:{name}' if name else ''}" for name in members)
        hosts = ",".join(member.address for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={NAME}&readPreference={preference}{tags}"

    def write(self, database: str, collection: str, documents: list[dict[str, Any]]) -> None:
        """Replace the collection's documents; a majority has them."""
        durable = WriteConcern(w="majority", wtimeout=30_000)
        found = self.client[database].get_collection(collection, write_concern=durable)
        found.delete_many({})
        found.insert_many(documents)

    def until_seen(self, member: Member, database: str, collection: str, where: dict[str, Any], count: int) -> None:
        """Return once reads from this member find so many documents."""

        own = member.client[database].get_collection(
            collection, read_concern=ReadConcern("majority"), read_preference=SecondaryPreferred()
        )

        def seen() -> bool:
            return own.count_documents(where) == count

        eventually(f"{member.name} has the documents", seen)

    def forget_snapshots(self, member: Member) -> None:
        """Make the member discard all snapshots that are open; it keeps later ones as before."""
        noise = self.client["tests"]["noise"]
        # A snapshot that is older than the collection cannot be read.
        made = noise.insert_one({}).inserted_id
        self.until_seen(member, "tests", "noise", {"_id": made}, 1)
        own = member.client["tests"].get_collection("noise", read_preference=SecondaryPreferred())
        with member.client.start_session(snapshot=True) as old:
            own.find_one(session=old)
            member.command("setParameter", **{WINDOW: 0})

            def is_forgotten() -> bool:
                noise.insert_one({})  # the oldest snapshot time advances with writes
                try:
                    own.find_one(session=old)
                except PyMongoError as exc:
                    assert getattr(exc, "code", None) == SNAPSHOT_TOO_OLD, exc
                    return True
                return False

            eventually("the snapshot is forgotten", is_forgotten)
            member.command("setParameter", **{WINDOW: 3_600})

    def elect(self, chosen: Member) -> None:
        """The primary steps down for a minute, and this member becomes primary."""
        old = next(member for member in self.members if member.is_primary)
        for other in self.members:
            if other not in (old, chosen):
                other.command("replSetFreeze", 60)
        old.command("replSetStepDown", 60, secondaryCatchUpPeriodSecs=10)
        eventually(f"{chosen.name} is primary", lambda: chosen.is_primary)
