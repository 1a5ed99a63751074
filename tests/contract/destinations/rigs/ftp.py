"""Real FTP servers, pyftpdlib's, in a thread each: plain, with explicit TLS, with implicit TLS.

Data connections have ports of their own, so it is the server itself that cuts and stalls.
"""

import contextlib
import datetime
import errno
import ipaddress
import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.exceptions import _RetryError
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from deploy.local.servers import free_port
from services.delivery.destinations.ftp.destination import FtpDestination
from services.delivery.destinations.kit.timeouts import Timeouts
from tests.contract.destinations.rigs._rclone import FOLDER, PASSWORD, USER, RcloneRig
from tests.real_servers import Rclone

PASSIVE_PORTS = 100
Tls = Literal["none", "explicit", "implicit"]


class _Disk(AbstractedFS):  # type: ignore[misc]  # pyftpdlib has no types
    """A disk that can be full, and a server that does not rename over files."""

    def open(self, filename: str, mode: str) -> Any:
        opened = super().open(filename, mode)
        return _FullFile(opened) if self.cmd_channel.rig.full else opened

    def rename(self, src: str, dst: str) -> None:
        if not self.cmd_channel.rig.replaces and Path(dst).exists():
            raise FileExistsError(errno.EEXIST, "File exists")
        super().rename(src, dst)


class _FullFile:
    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


class _Faulty:
    """A data connection with the rig's faults."""

    cmd_channel: Any

    def recv(self, size: int) -> bytes:
        rig = self.cmd_channel.rig
        data: bytes = super().recv(size)  # type: ignore[misc]  # of the handler it is mixed into
        rig.received += len(data)
        if rig.cut_at is not None and rig.received >= rig.cut_at:
            rig.cut_at = None
            rig.cuts += 1
            self.file_obj.write(data)  # type: ignore[attr-defined]
            _reset(self)
            _reset(self.cmd_channel)
            raise _RetryError
        if rig.stall_at is not None and rig.received >= rig.stall_at:
            self.ioloop.unregister(self._fileno)  # type: ignore[attr-defined]
        return data

    def handle_error(self) -> None:
        """Report a full disk, which pyftpdlib does not, while other servers do."""
        self._error = True
        self._resp = ("452 No space left on device.", self.log)  # type: ignore[attr-defined]
        self.close()  # type: ignore[attr-defined]


def _reset(channel: Any) -> None:
    """Reset a connection without an answer."""
    with contextlib.suppress(OSError):
        channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    channel._error = True  # no TLS shutdown
    channel._resp = ()
    channel.close()


class _Dtp(_Faulty, DTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    pass


class _TlsDtp(_Faulty, TLS_DTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """Like vsftpd, refuses a data connection that did not resume the TLS session."""

    def handle_ssl_established(self) -> None:
        rig = self.cmd_channel.rig
        resumed = bool(SSL._lib.SSL_session_reused(self.socket._ssl))  # type: ignore[attr-defined]
        rig.resumed.append(resumed)
        if rig.demands_resumption and not (resumed and rig.accepts_resumption):
            self._resp = ("522 SSL connection failed; session reuse required", self.log)
            self._error = True
            self.close()


class _Control:
    """The behaviour that all servers share."""

    rig: ClassVar["FtpRig"]
    abstracted_fs = _Disk
    auth_failed_timeout = 0.05
    banner = "Grüß Gott, ready."

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        self.rig.commands.append(line)
        for start, answer in self.rig.answers.items():
            if line.startswith(start):
                if answer is not None:
                    self.respond(answer)  # type: ignore[attr-defined]  # of the handler it is mixed into
                return
        super().pre_process_command(line, cmd, arg)  # type: ignore[misc]  # of the handler it is mixed into


class _Plain(_Control, FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    dtp_handler = _Dtp


class _Explicit(_Control, TLS_FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    dtp_handler = _TlsDtp
    tls_control_required = True
    tls_data_required = True


class _Implicit(_Explicit):
    def handle(self) -> None:
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        super().handle()


HANDLERS: dict[Tls, Any] = {"none": _Plain, "explicit": _Explicit, "implicit": _Implicit}


class FtpRig:
    """The server and an independent view of its files.

    `answers` replaces the answers to commands that begin with a text, None says nothing; `full`, `replaces` (rename
    over a file), `demands_resumption` and `accepts_resumption` (of TLS sessions) change it while it runs.
    """

    scale = 1

    def __init__(self, tls: Tls = "none") -> None:
        self.tls: Tls = tls
        self.name = "ftp" if tls == "none" else f"ftp-{tls}-tls"
        self.port = 0
        self.root = Path()
        self.certificate = ""
        self._serving = False
        self.cut_at: int | None = None
        self.stall_at: int | None = None

    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="ftp-"))
        (self.root / "home").mkdir()
        self.clear()
        self.handler: Any = type("Handler", (HANDLERS[self.tls],), {"rig": self, "authorizer": self._authorizer()})
        if self.tls != "none":
            self._certify()
        self._loop = IOLoop()
        self._server = FTPServer(("127.0.0.1", 0), self.handler, ioloop=self._loop)
        self.port = self._server.address[1]
        self._serving = True
        self._thread = threading.Thread(target=self._serve, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._serving = False
        self._thread.join()
        shutil.rmtree(self.root)

    def destination(self, seconds: float) -> FtpDestination:
        return FtpDestination(Timeouts(connect=seconds, silence=seconds, work=2 * seconds))

    def config(self, port: int | None = None) -> dict[str, Any]:
        own = {} if self.tls == "none" else {"ca_certificate": self.certificate}
        return {
            "host": "127.0.0.1",
            "port": port or self.port,
            "username": USER,
            "password": PASSWORD,
            "tls": self.tls,
            "path": FOLDER,
            **own,
        }

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "password": "battery staple"}

    @property
    def folder(self) -> Path:
        """Where the config's folder is on this machine's disk."""
        return self.root / "home" / FOLDER

    def files(self) -> dict[str, bytes]:
        """The visible files of the folder."""
        return {path.name: path.read_bytes() for path in self._entries() if not path.name.startswith(".")}

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self._entries() if path.name.startswith("."))

    def clear(self) -> None:
        """Empty the server and end all faults."""
        shutil.rmtree(self.root / "home" / FOLDER.split("/", 1)[0], ignore_errors=True)
        self.heal()
        self.full = False
        self.replaces = True
        self.demands_resumption = self.tls != "none"
        self.accepts_resumption = True
        self.answers: dict[str, str | None] = {}
        self.commands: list[str] = []
        self.resumed: list[bool] = []
        self.received = self.cuts = 0

    def fill(self) -> None:
        self.full = True

    def unfill(self) -> None:
        self.full = False

    def cut_after(self, count: int) -> None:
        """Reset data and control connection once, after `count` more bytes of files."""
        self.cut_at = self.received + count

    def stall_after(self, count: int) -> None:
        """After `count` more bytes of files, accept nothing until `heal`."""
        self.stall_at = self.received + count

    def heal(self) -> None:
        self.cut_at = self.stall_at = None

    def _entries(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_file()] if self.folder.is_dir() else []

    def _authorizer(self) -> Any:
        authorizer = DummyAuthorizer()
        authorizer.add_user(USER, PASSWORD, str(self.root / "home"), perm="elradfmwMT")
        return authorizer

    def _certify(self) -> None:
        self.certificate, key = self_signed("127.0.0.1")
        path = self.root / "server.pem"
        path.write_text(self.certificate + key)
        self.handler.certfile = str(path)
        self.handler.ssl_context = None

    def _serve(self) -> None:
        while self._serving:
            self._server.serve_forever(timeout=0.05, blocking=False, handle_exit=False)
        self._server.close_all()
        self._loop.close()


def self_signed(address: str) -> tuple[str, str]:
    """A self-signed certificate for an IP address, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ftp.test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


class RcloneFtpRig(RcloneRig):
    """`rclone serve ftp`, without TLS."""

    def __init__(self) -> None:
        super().__init__(self._server_in)

    def destination(self, seconds: float) -> FtpDestination:
        return FtpDestination(Timeouts(connect=seconds, silence=seconds, work=2 * seconds))

    def config(self, port: int | None = None) -> dict[str, Any]:
        login = {"username": USER, "password": PASSWORD}
        return {"host": "127.0.0.1", "port": port or self.port, **login, "tls": "none", "path": FOLDER}

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "password": "battery staple"}

    def _server_in(self, folder: Path) -> Rclone:
        first = free_port()
        ports = f"--passive-port={first}-{first + PASSIVE_PORTS}"
        return Rclone("ftp", folder, f"--user={USER}", f"--pass={PASSWORD}", ports)


RIGS: list[Any] = [FtpRig("none"), FtpRig("explicit"), FtpRig("implicit"), RcloneFtpRig()]
