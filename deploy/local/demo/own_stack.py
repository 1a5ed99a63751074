"""The demo's own stack, with its own ports and folder, so that it does not disturb a running one."""

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.local.processes.children import ROOT
from deploy.local.secrets import KEYS, master_keys
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack, artifacts_folder, hosts
from deploy.local.state import FILE, AlreadyRunning, claimed, running

TENANT = "demo"
PREFIX = "demo-"
ABANDONED_AFTER = 60.0
ENVIRONMENT = {
    # The demo exports what it loaded, even if the user's environment names another catalogue.
    "CATALOGUE_URI": "",
    # With NATS_URL another stack may take this stack's wake-ups, so they are repeated soon.
    "DISPATCH_SECONDS": "2",
    "RECONCILE_SECONDS": "2",
}


@contextlib.contextmanager
def own_folder(settings: LocalSettings, report: Callable[[str], None]) -> Iterator[Path]:
    """A new folder for the demo's servers, removed at the end; after a failure the logs in it are kept."""
    settings.local_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_abandoned(settings.local_dir)
    folder = settings.local_dir / f"{PREFIX}{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    except Exception:
        report(f"the logs are kept in {folder / 'logs'}")
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def own_stack(settings: LocalSettings, folder: Path, report: Callable[[str], None]) -> Iterator[Stack]:
    """A running stack with its data in `folder`; stopped at the end.

    Raises:
        NotReady: it did not start.
    """
    stack = Stack(
        folder,
        mongodb_uri=settings.mongodb_uri,
        nats_url=settings.nats_url,
        tenant=TENANT,
        store=_shared_store(settings) if settings.mongodb_uri else None,
        env={**ENVIRONMENT, **_shared_secrets(settings)},
        report=report,
    )
    try:
        yield stack.start()
    finally:
        if settings.mongodb_uri and stack.api_key:
            _revoke(stack)
        stack.stop()


def _shared_secrets(settings: LocalSettings) -> dict[str, str]:
    """With a given MongoDB, the delivery service of `make up` must be able to decrypt the demo's platforms."""
    return {"MASTER_KEYS": master_keys(settings.local_dir)} if settings.mongodb_uri else {}


def _shared_store(settings: LocalSettings) -> Path:
    """The folder of files for a given MongoDB, because the exporter of `make up` may run the demo's jobs."""
    neighbour = running(settings.local_dir)
    if neighbour and hosts(neighbour.mongodb_uri) == hosts(settings.mongodb_uri or ""):
        return Path(neighbour.artifacts)
    return settings.local_dir / artifacts_folder(settings.mongodb_uri)


def _revoke(stack: Stack) -> None:
    """Revoke the demo's key, because the MongoDB outlives the demo."""
    env = {**os.environ, "MONGODB_URI": stack.mongodb_uri}
    subprocess.run([*KEYS, "revoke", stack.api_key], cwd=ROOT, env=env, capture_output=True)


def remove_abandoned(local_dir: Path) -> None:
    """Remove folders of demos that failed or were killed: old and not locked by a running demo."""
    for folder in local_dir.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, AlreadyRunning):
            if time.time() - (folder / FILE).stat().st_mtime > ABANDONED_AFTER:
                with claimed(folder):
                    shutil.rmtree(folder, ignore_errors=True)
