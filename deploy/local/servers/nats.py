"""nats-server from its PyPI wheel, or from PATH."""

import contextlib
import socket
from pathlib import Path

from deploy.local.servers.ports import HOST
from deploy.local.servers.server import Server, beside_python, on_path


class NatsServer(Server):
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


def nats_program() -> Path:
    """nats-server from the wheel or from PATH.

    Raises:
        NotReady: neither exists.
    """
    return beside_python("nats-server") or on_path("nats-server", "NATS_URL")
