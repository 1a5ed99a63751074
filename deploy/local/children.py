"""Child processes that never outlive us: their start, their log file, their end."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Where `services` and `deploy` are found, by the children too."""

PR_SET_PDEATHSIG = 1
TAIL_LINES = 12
LOG_LIMIT = 16 * 1024 * 1024


class NotReady(Exception):
    """A child did not get ready; the message ends with the last lines of its log."""


class Child:
    """One command as a child process that appends to a log file.

    On Linux the kernel kills it when the thread that spawned it ends, also after a `kill -9` of ours. It has a process
    group of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which then stops everything in order.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start the command with `env` on top of our environment.

        Raises:
            OSError: the command cannot be run.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid()),
            )

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_status(self) -> str:
        """How it ended, in words."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return "has not ended"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def stop(self, within: float = 30.0) -> None:
        """Ask it to end and wait; it is killed after `within` seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The last lines of its log, indented."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line[:500]}" for line in self._telling(lines)[-TAIL_LINES:])

    def _telling(self, lines: list[str]) -> list[str]:
        """The lines that may say what went wrong."""
        return lines

    def not_ready(self, why: str) -> NotReady:
        """An error that says why and shows the end of the log."""
        return NotReady(f"{self.name} {why}; the end of {self.log}:\n{self.tail()}")


def _dies_with(parent: int) -> Callable[[], None] | None:
    """What a child runs between fork and exec so that the kernel kills it with its parent's thread."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def bind() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call above
            os._exit(1)

    return bind
