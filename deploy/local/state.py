"""The state file of a folder's stack, locked while the stack runs.

The kernel releases the lock when its holder ends, for whatever reason. The content is then out of date.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "stack.json"
# `running` holds the lock for a moment.
LOCK_TIMEOUT = 0.5


@dataclass(frozen=True, slots=True)
class State:
    """A running stack: process id, addresses of gateway and servers, folder of files, and ports of the children."""

    pid: int = 0
    url: str = ""
    mongodb_uri: str = ""
    nats_url: str = ""
    artifacts: str = ""
    """The folder of the finished files."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By child name."""


class AlreadyRunning(Exception):
    """Another process runs the stack of this folder."""

    def __init__(self, folder: Path, state: State) -> None:
        where = f" at {state.url}" if state.url else ", which is still starting"
        super().__init__(
            f"a stack already runs in {folder} (pid {state.pid}){where}. "
            f"Use it, stop it with Ctrl-C or `kill {state.pid}`, or set LOCAL_DIR to run a second one."
        )
        self.state = state


class Claim:
    """The held lock on a folder's stack."""

    def __init__(self, file: int, last: State) -> None:
        self._file = file
        self.last = last
        """What the previous holder wrote."""

    def write(self, state: State) -> None:
        """Replace the content of the state file."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(state)).encode(), 0)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold the folder's lock.

    Raises:
        AlreadyRunning: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not _locked(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise AlreadyRunning(folder, _read(file))
            time.sleep(0.02)
        yield Claim(file, _read(file))
    finally:
        os.close(file)


def running(folder: Path) -> State | None:
    """The stack that runs in this folder and is ready, if any."""
    try:
        file = os.open(folder / FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        state = None if _locked(file, fcntl.LOCK_SH) else _read(file)
        return state if state and state.url else None
    finally:
        os.close(file)


def _locked(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> State:
    """The content of the file; an empty state if it is not valid JSON."""
    with contextlib.suppress(ValueError, TypeError):
        return State(**json.loads(os.pread(file, 65536, 0)))
    return State()
