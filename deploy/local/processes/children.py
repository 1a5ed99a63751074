"""Child processes with a log file, which never outlive the process that started them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.processes.signals import deferred, raise_if_stopped

ROOT = Path(__file__).resolve().parents[3]
"""The repository; children run here, so that they find `services` and `deploy`."""

TAIL_LINES = 12
TAIL_BYTES = 256 * 1024
LOG_LIMIT = 16 * 1024 * 1024
# mongod alone needs 30 s when a program that never answers listens on the port it used before.
READY_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 30.0

# Runs in the child before exec: PR_SET_PDEATHSIG (1) with SIGKILL (9), then a check that the parent did not die before
# that call. This is not a preexec_fn, because forking a process that has threads is unsafe.
_LEASH = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);os.execvp(sys.argv[2],sys.argv[2:])"
)


class NotReady(Exception):
    """A child did not become ready; the message ends with the last lines of its log."""


class Child(ABC):
    """A server process that appends to a log file.

    On Linux the kernel kills it when the thread that launched it ends, even if that thread's process was killed.
    It runs in its own session, so Ctrl-C in a terminal reaches only the supervisor, which stops everything in order.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        """Where the log of the latest process begins."""

    @abstractmethod
    def launch(self) -> None:
        """Start the process without waiting until it is ready.

        Raises:
            NotReady: it cannot be started.
        """

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves."""

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            NotReady: it ended or was not ready within 60 s.
        """
        self.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it serves; raises as `start` does, and then stops the process."""
        deadline = time.monotonic() + READY_TIMEOUT
        try:
            while not self.is_ready():
                raise_if_stopped()
                if self.pid is None:
                    raise self._not_ready(self.exit_status)
                if time.monotonic() > deadline:
                    raise self._not_ready(f"was not ready within {READY_TIMEOUT:.0f} s")
                time.sleep(0.02)
        except BaseException:
            self.kill()
            raise

    def spawn(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Run the command with `env` added to this process's environment; a stop signal waits until it is known."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.trim_log()
        leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())] if sys.platform == "linux" else []
        with self.log.open("ab") as log, deferred():
            self._log_from = log.tell()
            self._process = subprocess.Popen(
                [*leash, *command],
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def trim_log(self) -> None:
        """Copy a log of more than 16 MiB to `.old.log` and empty it; the child keeps writing to the same file."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(self.log, self.log.with_suffix(".old.log"))
            os.truncate(self.log, 0)
            self._log_from = 0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_status(self) -> str:
        """How it ended, as text."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return "has not ended"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def stop(self, timeout: float = SHUTDOWN_TIMEOUT) -> None:
        """Send SIGTERM and wait; kill it after `timeout` seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The last log lines of its latest process, indented."""
        lines: list[str] = []
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(max(self._log_from, self.log.stat().st_size - TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line[:500]}" for line in self._relevant(lines)[-TAIL_LINES:])

    def _relevant(self, lines: list[str]) -> list[str]:
        """The lines that may explain a failure."""
        return lines

    def _not_ready(self, reason: str) -> NotReady:
        return NotReady(f"{self.name} {reason}; the end of {self.log}:\n{self.tail()}")
