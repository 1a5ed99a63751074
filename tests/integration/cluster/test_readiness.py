"""MongoDB's readiness check with a member that is still copying the data: its own script and real answers of mongod."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local.servers import HOST, free_port, mongod_program
from tests.integration.cluster.data_plane import COMPONENTS, running
from tests.system import eventually

NODE = shutil.which("node")
HANGS = {"configureFailPoint": "initialSyncHangBeforeCopyingDatabases"}
Client = MongoClient[dict[str, Any]]


def script() -> str:
    """What the probe gives to mongosh."""
    stateful_set, *_ = yaml.safe_load_all((COMPONENTS / "mongodb" / "mongodb.yaml").read_text())
    command = stateful_set["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"]
    assert command[-2] == "--eval"
    return str(command[-1])


def ready(member: Client) -> bool:
    """The probe's script with what the member answers. Node stands in for mongosh, which is no package."""
    assert NODE is not None
    answer = json.dumps(member.admin.command("hello"), default=str)
    stage = f"const db = {{hello: () => ({answer})}}; const quit = code => process.exit(code); {script()}"
    return subprocess.run([NODE, "--eval", stage], timeout=30).returncode == 0


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[Client]]:
    """Two members that are not yet a set; the second stops at the start of its initial sync."""
    with ExitStack() as stack:
        clients = []
        for number in range(2):
            folder, port = tmp_path / f"member-{number}", free_port()
            folder.mkdir()
            command: list[str | Path] = [mongod_program(), "--replSet=rs0", f"--bind_ip={HOST}", f"--port={port}"]
            command += [f"--dbpath={folder}", "--nounixsocket", "--oplogSize=16", "--wiredTigerCacheSizeGB=0.25"]
            command += ["--setParameter=enableTestCommands=1", "--setParameter=ttlMonitorEnabled=false"]
            stack.enter_context(running(command, tmp_path / f"mongod-{number}.log"))
            clients.append(stack.enter_context(Client(HOST, port, directConnection=True)))
        for client in clients:
            eventually("mongod answers", lambda client=client: answers(client))  # type: ignore[misc]  # of this round
        yield clients


def answers(client: Client) -> bool:
    try:
        return bool(client.admin.command("ping"))
    except PyMongoError:
        return False


@pytest.mark.full
@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_a_member_is_ready_once_it_is_primary_or_secondary(members: list[Client]) -> None:
    first, second = members
    assert not ready(first), "the set is not initiated"
    second.admin.command({**HANGS, "mode": "alwaysOn"})
    hosts = [{"_id": n, "host": f"{HOST}:{client.address[1]}"} for n, client in enumerate(members)]  # type: ignore[index]  # connected
    # The second has no vote, so that the first is primary without it.
    first.admin.command(
        "replSetInitiate", {"_id": "rs0", "members": [hosts[0], {**hosts[1], "votes": 0, "priority": 0}]}
    )
    eventually("the first is primary", lambda: ready(first))

    def syncs() -> bool:
        states = {one["_id"]: one["stateStr"] for one in first.admin.command("replSetGetStatus")["members"]}
        return bool(states[1] == "STARTUP2")

    eventually("the second copies the data", syncs)
    assert not ready(second)
    second.admin.command({**HANGS, "mode": "off"})
    eventually("the second has copied the data", lambda: ready(second))
