"""Secrets of the local stack, generated once and kept in files that only their owner can read."""

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.processes.children import ROOT, NotReady

KEYS = [sys.executable, "-m", "services.gateway.auth.keys"]
COMMAND_TIMEOUT = 30.0


def kept(file: Path, make: Callable[[], str]) -> str:
    """The secret in the file; generated if there is none."""
    found = file.read_text().strip() if file.exists() else ""
    return found or write(file, make())


def write(file: Path, secret: str) -> str:
    """Write the secret to a new file of mode 600, replacing an existing one; returns the secret."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(secret + "\n")
    return secret


def signing_key(folder: Path) -> str:
    """The key that signs the gateway's links."""
    return kept(folder / "signing-key", lambda: secrets.token_urlsafe(32))


def master_keys(folder: Path) -> str:
    """The key that encrypts the secrets of platforms."""
    return kept(folder / "master-key", lambda: f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}")


def api_key(file: Path, mongodb_uri: str, tenant: str) -> str:
    """The tenant's API key in this file; a new one if it is missing or no longer valid.

    Raises:
        NotReady: the gateway's command for keys failed.
    """
    env = {**os.environ, "MONGODB_URI": mongodb_uri}
    if file.exists():
        check = [*KEYS, "check", "--key-file", str(file)]
        if _run(check, env).returncode == 0:
            return file.read_text().strip()
    return write(file, _create(tenant, env))


def _create(tenant: str, env: dict[str, str]) -> str:
    command = [*KEYS, "create", "--tenant", tenant, "--scopes", "*", "--name", "local", "--quiet"]
    made = _run(command, env)
    if made.returncode != 0 or not made.stdout.strip():
        raise NotReady(f"could not create an API key:\n{made.stderr.strip()[-2000:]}")
    return made.stdout.strip()


def _run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired as exc:
        raise NotReady(f"the gateway's command for API keys did not end within {COMMAND_TIMEOUT:.0f} s") from exc
