"""The local stack's commands as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from deploy.local.processes.children import ROOT
from tests.waiting import DEADLINE, eventually

STACK_VARIABLES = ("MONGODB_URI", "NATS_URL", "LOCAL_DIR", "GATEWAY_PORT")
COMMAND_TIMEOUT = 120.0


def environment(**settings: str) -> dict[str, str]:
    """The environment of this process with these settings instead of its own settings of the stack."""
    return {**{name: value for name, value in os.environ.items() if name not in STACK_VARIABLES}, **settings}


def ran(module: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=COMMAND_TIMEOUT
    )


class Command:
    """A command that runs until it is stopped."""

    def __init__(self, output: Path, module: str, *arguments: str, **settings: str) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=environment(**settings),
                stdout=file,
                stderr=file,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_printed(self, text: str) -> None:
        """Wait until this was printed."""

        def printed() -> bool:
            assert self._process.poll() is None or text in self.output, self.output
            return text in self.output

        eventually(f"it prints {text!r}", printed)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send the signal; returns the exit code."""
        self.send(number)
        return self.ended()

    def ended(self) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(DEADLINE)

    def kill(self) -> None:
        """Kill it in any state."""
        self._process.kill()
        self._process.wait()


class Up(Command):
    """`make up` in a folder, on a free port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        env = {"LOCAL_DIR": str(folder), "GATEWAY_PORT": "0", **settings}
        super().__init__(folder.with_suffix(".out"), "deploy.local", "up", **env)

    def wait_up(self) -> "Up":
        self.wait_printed("Ctrl-C stops everything")
        return self

    def filled(self, tenant: str = "default") -> "Up":
        """Wait until it is up, and give the tenant a product."""
        self.wait_up()
        with MongoClient[dict[str, Any]](self.state["mongodb_uri"]) as client:
            client[f"catalogue_{tenant}"]["products"].replace_one({"_id": "1"}, {"sku": "A"}, upsert=True)
        return self

    @property
    def state(self) -> Any:
        """The content of its state file."""
        return json.loads((self.folder / "stack.json").read_text())

    @property
    def key(self) -> str:
        return (self.folder / "api-key").read_text().strip()

    def log(self, child: str) -> str:
        return (self.folder / "logs" / f"{child}.log").read_text()


def children(pid: int) -> dict[int, str]:
    """Process ids and command lines of this process's running children."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and command:
            found[int(folder.name)] = command
    return found


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
