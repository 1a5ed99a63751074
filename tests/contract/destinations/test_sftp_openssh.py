"""The destination sftp with OpenSSH, if it is installed: it has other limits and error texts."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from deploy.local.servers import free_port
from services.delivery.destinations.contract import DestinationError, NameTaken
from tests.contract.destinations.sftp_trial import Source, session
from tests.system import eventually
from tests.tcp_proxy import TcpProxy

MIB = 1024 * 1024
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
SETTINGS = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""

pytestmark = pytest.mark.skipif(SSHD is None, reason="this machine has no sshd")


class Sshd:
    """sshd on a free port, for the user that runs the tests and a generated key."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.port = free_port()
        self._host, self._key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self._folder = folder

    def start(self) -> None:
        self.files.mkdir()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its init script does this
        self._host.write_private_key(self._folder / "host")
        (self._folder / "host").chmod(0o600)
        self._key.write_public_key(self._folder / "authorized")
        (self._folder / "settings").write_text(SETTINGS.format(port=self.port, folder=self._folder))
        command = [str(SSHD), "-D", "-e", "-f", str(self._folder / "settings")]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("sshd listens", self._listens, 10)

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": port or self.port,
            "username": getpass.getuser(),
            "private_key": self._key.export_private_key().decode(),
            "host_key": self._host.get_fingerprint(),
            "path": str(self.files / "new" / "folder"),
        }

    @property
    def folder(self) -> Path:
        return self.files / "new" / "folder"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running: Sshd) -> Sshd:
    shutil.rmtree(running.files / "new", ignore_errors=True)
    return running


async def test_files_arrive_are_found_read_replaced_and_removed(server: Sshd) -> None:
    first, second = Source(os.urandom(5 * MIB + 1)), Source(b"")
    async with session(server.config()) as opened:
        for source in (first, second):
            sent = await opened.send("Größe 😀.csv", source.payload(), replace=True)
            assert await opened.matches(sent, source.payload())
            assert b"".join([piece async for piece in opened.read("Größe 😀.csv")]) == source.data
            assert [path.name for path in server.folder.iterdir()] == ["Größe 😀.csv"]
        with pytest.raises(NameTaken):
            await opened.send("Größe 😀.csv", first.payload(), replace=False)
        await opened.send("other.csv", first.payload(), replace=False)
        await opened.remove("Größe 😀.csv")
    assert {path.name: path.read_bytes() for path in server.folder.iterdir()} == {"other.csv": first.data}


async def test_a_name_that_is_taken_during_the_upload_stays_as_it_is(server: Sshd) -> None:
    payload = replace(Source(b"second").payload(), verifying=lambda: _take(server.folder / "a.csv"))
    async with session(server.config()) as opened:
        with pytest.raises(NameTaken):
            await opened.send("a.csv", payload, replace=False)
        await opened.tidy("a.csv", payload)
    assert {path.name: path.read_bytes() for path in server.folder.iterdir()} == {"a.csv": b"first"}


def _take(path: Path) -> None:
    path.write_bytes(b"first")


async def test_a_cut_upload_is_resumed(server: Sshd) -> None:
    source = Source(os.urandom(8 * MIB))
    with TcpProxy("127.0.0.1", server.port) as proxy:
        proxy.cut_after(5 * MIB)
        with pytest.raises(DestinationError) as caught:
            async with session(server.config(proxy.port)) as opened:
                await opened.send("a.csv", source.payload(), replace=True)
        assert caught.value.transient
        assert not (server.folder / "a.csv").exists()
        async with session(server.config(proxy.port)) as opened:
            await opened.send("a.csv", source.payload(), replace=True)
    assert source.offsets[-1] > MIB
    assert (server.folder / "a.csv").read_bytes() == source.data
    assert [path.name for path in server.folder.iterdir()] == ["a.csv"]


async def test_a_key_it_does_not_know_is_permanent(server: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    with pytest.raises(DestinationError) as caught:
        async with session({**server.config(), "private_key": other}):
            pass
    assert (caught.value.code, caught.value.transient) == ("wrong_credentials", False)


async def test_a_name_that_is_too_long_is_permanent(server: Sshd) -> None:
    with pytest.raises(DestinationError) as caught:
        async with session(server.config()) as opened:
            await opened.send("n" * 300, Source(b"x").payload(), replace=True)
    assert (caught.value.code, caught.value.transient) == ("bad_name", False)


async def test_a_file_in_place_of_a_folder_is_permanent(server: Sshd) -> None:
    (server.files / "new").write_bytes(b"")
    with pytest.raises(DestinationError) as caught:
        async with session(server.config()) as opened:
            await opened.send("a.csv", Source(b"x").payload(), replace=True)
    (server.files / "new").unlink()
    assert (caught.value.code, caught.value.transient) == ("not_a_folder", False)
