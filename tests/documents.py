"""Runs the shell sessions in Markdown documents and compares their output with what the document shows."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.demo.receivers.sftp_server import SftpServer
from tests.system import ROOT

TIMEOUT = 120.0
MARK = "\x1e"
# Runs the Makefile's recipes without the step that installs packages.
PRELUDE = 'make() { command make --silent --old-file=setup "$@"; }'
# Values that differ in every run. Longer patterns come first.
MASKS = (
    (re.compile(r"cx_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"), "<key>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<request id>"),
    (re.compile(r"\d{4}-\d{2}-\d{2}_\d{6}"), "<date and time>"),
    (re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?(Z|[+-]\d{2}:\d{2})"), "<time>"),
    (re.compile(r"http://[^/\s\"]+"), "<address>"),
    (re.compile(r"key=[0-9a-f]{12}&expires=\d+"), "key=<id>&expires=<number>"),
    (re.compile(r'("key_id": ?)"[0-9a-f]{12}"'), r"\1<id>"),
    (re.compile(r"\b([qrt])=\d+"), r"\1=<number>"),
    (re.compile(r'("(?:seconds|bytes_per_second)": ?)[\d.]+'), r"\1<number>"),
    (re.compile(r'("(?:used|limit|left)": ?)\d+'), r"\1<number>"),
    # The reader's own destination.
    (re.compile(r'("host": ?)"[^"]+"'), r"\1<host>"),
    (re.compile(r'("port": ?)\d+'), r"\1<port>"),
    (re.compile(r'("(?:next_)?cursor": ?")[A-Za-z0-9_-]+'), r"\1<cursor>"),
)


@dataclass(frozen=True)
class Step:
    """A command and the output that the document shows for it."""

    command: str
    output: str


def session(document: Path) -> list[Step]:
    """The steps in all `console` blocks of a Markdown file, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    return [step for block in blocks for step in _steps(block.splitlines())]


def _steps(lines: list[str]) -> list[Step]:
    steps, at = [], 0
    while at < len(lines):
        assert lines[at].startswith("$ "), f"not a command: {lines[at]}"
        command = [lines[at].removeprefix("$ ")]
        at += 1
        until = re.search(r"<<'?(\w+)'?", command[0])
        while command[-1].endswith("\\") or (until and command[-1] != until[1]):
            command.append(lines[at])
            at += 1
        output = []
        while at < len(lines) and not lines[at].startswith("$ "):
            output.append(lines[at])
            at += 1
        steps.append(Step("\n".join(command), "\n".join(output)))
    return steps


def run(steps: list[Step], folder: Path, **env: str) -> list[str]:
    """The output of each command. All run in one bash, in a folder that looks like a checkout."""
    (folder / "Makefile").symlink_to(ROOT / "Makefile")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    script = [PRELUDE, *(f"{step.command}\nprintf '{MARK}'" for step in steps)]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
        check=True,
    )
    return done.stdout.decode().split(MARK)[:-1]


def checkout(folder: Path, key: str) -> Path:
    """A folder that looks like one in which `make up` is running."""
    (folder / ".local").mkdir()
    (folder / ".local" / "api-key").write_text(f"{key}\n")
    return folder


def sftp_environment(server: SftpServer) -> dict[str, str]:
    """The variables that the sessions read the SFTP server from."""
    config = server.config()
    names = {"SFTP_HOST": "host", "SFTP_PORT": "port", "SFTP_USER": "username", "SFTP_PASSWORD": "password"}
    return {variable: str(config[field]) for variable, field in names.items()}


def masked(output: str) -> str:
    """The output with values that differ in every run replaced."""
    text = "\n".join(line.rstrip() for line in output.strip("\n").splitlines())
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return text


def check_session(document: Path, folder: Path, **env: str) -> None:
    """Assert that every command prints what the document shows, except for ids, times and hashes."""
    steps = session(document)
    assert steps, f"{document} has no session"
    for step, output in zip(steps, run(steps, folder, **env), strict=True):
        assert masked(output) == masked(step.output), f"{document.name}: {step.command}"
