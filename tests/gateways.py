"""Additional gateways, for tests that need their own settings."""

import contextlib
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.servers import free_port
from tests.rest import Rest
from tests.system import Process, System, eventually


@dataclass(frozen=True)
class Gateway:
    """A running gateway and its process."""

    url: str
    process: Process

    def client(self, key: str) -> Rest:
        return Rest(self.url, key)

    @property
    def memory(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def open_files(self, folder: Path) -> list[str]:
        """Its open files below a folder."""
        found = []
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(str(descriptor.readlink()))
        return [name for name in found if name.startswith(str(folder))]


@contextlib.contextmanager
def gateway(system: System, name: str, **env: str) -> Iterator[Gateway]:
    """Run another gateway of the same system."""
    port = free_port()
    process = system.service("services.gateway", name, GATEWAY_PORT=str(port), **env)
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(f"{name} is alive", lambda: _is_alive(url))
        yield Gateway(url, process)
    finally:
        process.end()


@contextlib.contextmanager
def exporter(system: System, name: str, port: int, **env: str) -> Iterator[Process]:
    """Run another exporter of the same system on a port; it is stopped even if it was frozen."""
    process = system.service("services.exporter", name, GRPC_PORT=str(port), **env)
    process.start()
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send(signal.SIGCONT)
        process.end()


def _is_alive(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/healthz") as answer:
        return bool(answer.status == 200)
    return False
