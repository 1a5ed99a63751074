"""Renders the overlay `local` with kubectl and fresh keys, without touching the user's secrets.env."""

import base64
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from deploy.local.processes.children import ROOT

Manifest = dict[str, Any]
"""A Kubernetes object."""

KUBECTL = Path(sys.executable).with_name("kubectl")
TIMEOUT = 60.0


class NotRendered(Exception):
    """kubectl rejected the overlay; the message is kubectl's."""


def rendered() -> list[Manifest]:
    """All objects of `deploy/k8s/overlays/local`.

    Raises:
        NotRendered: with kubectl's error output.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "deploy"
        shutil.copytree(ROOT / "deploy" / "k8s", copy / "k8s", ignore=shutil.ignore_patterns("secrets.env"))
        shutil.copytree(ROOT / "deploy" / "monitoring", copy / "monitoring")
        overlay = copy / "k8s" / "overlays" / "local"
        (overlay / "secrets.env").write_text(_fresh_secrets())
        made = subprocess.run([KUBECTL, "kustomize", overlay], capture_output=True, text=True, timeout=TIMEOUT)
    if made.returncode != 0:
        raise NotRendered(made.stderr.strip())
    return [manifest for manifest in yaml.safe_load_all(made.stdout) if manifest]


def _fresh_secrets() -> str:
    """What make-secrets.sh writes. The keys need not be kept, because the data is removed with the containers."""
    master_key = base64.b64encode(secrets.token_bytes(32)).decode()
    return f"SIGNING_KEY={secrets.token_urlsafe(32)}\nMASTER_KEYS=1:{master_key}\n"
