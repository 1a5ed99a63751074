"""Secrets of the local stack, made once and kept in files only their owner can read."""

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.children import ROOT, NotReady

KEYS = [sys.executable, "-m", "services.gateway.auth.keys"]
WITHIN = 30.0


def kept(file: Path, make: Callable[[], str]) -> str:
    """The secret in the file; made and written when there is none."""
    found = file.read_text().strip() if file.exists() else ""
    return found or write(file, make())


def write(file: Path, secret: str) -> str:
    """Keep a secret in a file of mode 600, in place of the one that is there; returns it."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(secret + "\n")
    return secret


def signing_key(folder: Path) -> str:
    """What the gateway signs its links with."""
    return kept(folder / "signing-key", lambda: secrets.token_urlsafe(32))


def master_keys(folder: Path) -> str:
    """What the delivery service wraps the platforms' secrets with."""
    return kept(folder / "master-key", lambda: f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}")


def api_key(file: Path, mongodb_uri: str, tenant: str) -> str:
    """The tenant's API key kept in this file, made anew when it is missing or valid no longer.

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
        raise NotReady(f"no API key could be made:\n{made.stderr.strip()[-2000:]}")
    return made.stdout.strip()


def _run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=WITHIN)
    except subprocess.TimeoutExpired as exc:
        raise NotReady(f"the gateway's command for API keys did not end within {WITHIN:.0f} s") from exc
