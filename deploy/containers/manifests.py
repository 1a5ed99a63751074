"""The overlay `local` as kubectl renders it, with keys of its own, so that nothing of the user's overlay is touched."""

import base64
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from deploy.local.children import ROOT

Manifest = dict[str, Any]
"""One object of Kubernetes, as its YAML has it."""

KUBECTL = Path(sys.executable).with_name("kubectl")
WITHIN = 60.0


class NotRendered(Exception):
    """kubectl refused the overlay; the message is kubectl's."""


def rendered() -> list[Manifest]:
    """All objects of `deploy/k8s/overlays/local`.

    Raises:
        NotRendered: with what kubectl said.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "deploy"
        shutil.copytree(ROOT / "deploy" / "k8s", copy / "k8s", ignore=shutil.ignore_patterns("secrets.env"))
        shutil.copytree(ROOT / "deploy" / "monitoring", copy / "monitoring")
        overlay = copy / "k8s" / "overlays" / "local"
        (overlay / "secrets.env").write_text(_fresh_secrets())
        made = subprocess.run([KUBECTL, "kustomize", overlay], capture_output=True, text=True, timeout=WITHIN)
    if made.returncode != 0:
        raise NotRendered(made.stderr.strip())
    return [manifest for manifest in yaml.safe_load_all(made.stdout) if manifest]


def _fresh_secrets() -> str:
    """What the overlay's make-secrets.sh writes. The data goes with the containers, and so may its keys."""
    master_key = base64.b64encode(secrets.token_bytes(32)).decode()
    return f"SIGNING_KEY={secrets.token_urlsafe(32)}\nMASTER_KEYS=1:{master_key}\n"
