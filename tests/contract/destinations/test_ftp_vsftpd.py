"""The destination ftp with vsftpd, if it is installed: each data connection has to resume the TLS session."""

import os
import pwd
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.processes.children import Child
from deploy.local.servers import HOST, free_port
from services.delivery.destinations.contract import NameTaken
from services.delivery.destinations.ftp.client import Client
from tests.contract.destinations.ftp_trial import delivered, failure, session
from tests.contract.destinations.payloads import MIB, File, SourceBroken, some
from tests.contract.destinations.rigs.ftp import self_signed

VSFTPD = shutil.which("vsftpd") or shutil.which("vsftpd", path="/usr/sbin:/usr/local/sbin")
USER = "ftp"
PASSIVE_PORTS = 50
EMPTY = Path("/var/run/vsftpd/empty")
SETTINGS = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
pasv_min_port={first}
pasv_max_port={last}
background=NO
seccomp_sandbox=NO
secure_chroot_dir={empty}
anonymous_enable=YES
local_enable=NO
ftp_username={user}
anon_root={root}
anon_umask=022
anon_world_readable_only=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={folder}/server.pem
"""

pytestmark = [
    pytest.mark.skipif(VSFTPD is None, reason="this machine has no vsftpd"),
    pytest.mark.skipif(os.geteuid() != 0 or not EMPTY.is_dir(), reason="vsftpd needs root and /var/run/vsftpd/empty"),
    pytest.mark.skipif(USER not in {user.pw_name for user in pwd.getpwall()}, reason="this machine has no user ftp"),
]


class Vsftpd(Child):
    """vsftpd on a free port, for anonymous users, who may write below `home`."""

    def __init__(self, folder: Path) -> None:
        super().__init__("vsftpd", folder / "vsftpd.log")
        self.folder = folder
        self.root = folder / "root"
        self.home = self.root / "home"
        self.port = free_port()
        self.certificate = ""

    def launch(self) -> None:
        self.home.mkdir(parents=True)
        shutil.chown(self.home, USER)
        self.certificate, key = self_signed(HOST)
        (self.folder / "server.pem").write_text(self.certificate + key)
        first = free_port()
        places = {"folder": self.folder, "root": self.root, "empty": EMPTY, "user": USER}
        settings = SETTINGS.format(port=self.port, first=first, last=first + PASSIVE_PORTS, **places)
        (self.folder / "vsftpd.conf").write_text(settings.lstrip())
        self.spawn([str(VSFTPD), self.folder / "vsftpd.conf"])

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def config(self) -> dict[str, Any]:
        login = {"username": USER, "password": "anna@example.com", "path": "home/shop"}
        return {"host": HOST, "port": self.port, **login, "tls": "explicit", "ca_certificate": self.certificate}

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.home / "shop").iterdir()}


@pytest.fixture(scope="module")
def running() -> Iterator[Vsftpd]:
    folder = Path(tempfile.mkdtemp(prefix="vsftpd-"))
    folder.chmod(0o755)  # its user has to pass
    server = Vsftpd(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def server(running: Vsftpd) -> Vsftpd:
    shutil.rmtree(running.home / "shop", ignore_errors=True)
    return running


async def test_files_arrive_are_found_read_replaced_and_removed(server: Vsftpd) -> None:
    first, second = File(some(5 * MIB + 1), "first"), File(b"", "second")
    async with session(server.config()) as opened:
        for file in (first, second):
            sent = await opened.send("a.csv", file.payload(), replace=True)
            assert await opened.matches(sent, file.payload())
            assert b"".join([piece async for piece in opened.read("a.csv")]) == file.data
            assert server.files() == {"a.csv": file.data}
        with pytest.raises(NameTaken):
            await opened.send("a.csv", first.payload(), replace=False)
        await opened.send("b.csv", first.payload(), replace=False)
        await opened.remove("a.csv")
    assert server.files() == {"b.csv": first.data}


async def test_an_interrupted_upload_is_resumed(server: Vsftpd) -> None:
    file = File(some(3 * MIB))
    file.broken_at = 2 * MIB
    with pytest.raises(SourceBroken):
        await delivered(server.config(), file, "a.csv")
    [part] = server.files()
    assert part != "a.csv"
    file.broken_at = None
    await delivered(server.config(), file, "a.csv")
    assert server.files() == {"a.csv": file.data}


async def test_it_refuses_a_data_connection_with_a_session_of_its_own(
    server: Vsftpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the other tests show that sessions are resumed."""

    def new_session(self: Client) -> ssl.SSLContext | None:
        return self._tls

    monkeypatch.setattr(Client, "_resuming", new_session)
    error = await failure(server.config(), File(some(MIB)), "a.csv")
    assert (error.step, error.code, error.transient) == ("write", "tls_session_reuse_required", False), error
