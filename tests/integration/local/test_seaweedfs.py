"""SeaweedFS as the S3 server of the demo and of the tests: it listens on this machine only, and leaves nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.demo.receivers.s3_server import s3_server
from deploy.local.processes.children import ROOT
from deploy.local.servers.seaweedfs import SeaweedFS
from tests.integration.local.local_commands import is_alive
from tests.system import eventually

PARENT = """
import sys
from pathlib import Path
from deploy.local.servers.seaweedfs import SeaweedFS

server = SeaweedFS(Path(sys.argv[1]))
server.launch()
print(server.pid, flush=True)
sys.stdin.read()
"""
LISTENS = "0A"


def listens_at(pid: int) -> set[str]:
    """The IP addresses that the process listens at, in the hexadecimal form of /proc/net/tcp."""
    sockets = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {line[1].split(":")[0] for line in lines if line[3] == LISTENS and f"socket:[{line[9]}]" in sockets}


def test_objects_survive_a_kill_and_nothing_listens_on_other_addresses(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path)
    server.start()
    try:
        server.client.create_bucket(Bucket="bucket")
        server.client.put_object(Bucket="bucket", Key="a b/ü.csv", Body=b"content")
        first = server.pid
        assert first is not None
        assert listens_at(first) == {"0100007F"}
        server.kill()
        server.start()
        assert server.content("bucket", "a b/ü.csv") == b"content"
        assert server.content("bucket", "other.csv") is None
    finally:
        server.stop()
    assert not server.pid
    ports = {server.port, *server.ports.values(), *server.grpc_ports.values()}
    assert [
        path for path in Path("/tmp").glob("seaweedfs-*.sock") if any(str(port) in path.name for port in ports)
    ] == []


def test_the_demo_stops_it_when_its_start_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[SeaweedFS] = []
    launch = SeaweedFS.launch

    def interrupted(server: SeaweedFS) -> None:
        launch(server)
        launched.append(server)
        raise KeyboardInterrupt

    monkeypatch.setattr(SeaweedFS, "launch", interrupted)
    with pytest.raises(KeyboardInterrupt), s3_server(tmp_path):
        pytest.fail("it was interrupted before")
    assert [server.pid for server in launched] == [None]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a process that was killed")
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    eventually("it has ended", lambda: not is_alive(pid))
