"""What the servers share: a data folder, a port, and a program from a wheel or from PATH."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.processes.children import Child, NotReady
from deploy.local.servers.ports import HOST, PORT_FREE_TIMEOUT, free_port, is_free


class Server(Child):
    """A server with a data folder and a port."""

    def __init__(self, name: str, folder: Path, port: int, log: Path | None) -> None:
        super().__init__(name, log or folder / f"{name}.log")
        self.folder = folder
        self.port = port or free_port()

    def _listen(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        if not is_free(self.port, PORT_FREE_TIMEOUT):
            raise NotReady(f"{self.name}: port {self.port} on {HOST} is taken by another program")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spawn(command, env)


def beside_python(program: str) -> Path | None:
    """The program that a wheel installed beside Python, if there is one."""
    found = Path(sys.executable).with_name(program)
    return found if found.exists() else None


def on_path(program: str, variable: str = "") -> Path:
    """The program from PATH.

    Args:
        variable: the setting with the address of a running server, if there is one.

    Raises:
        NotReady: it is not there.
    """
    found = shutil.which(program)
    if found is None:
        instead = f", or set {variable} to the address of a running server" if variable else ""
        raise NotReady(f"{program} not found: run `make setup`{instead}")
    return Path(found)
