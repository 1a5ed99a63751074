"""Renders overlays with kubectl in a copy of deploy/, so that nothing is left in the project."""

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


def rendered(overlay: str, root: Path = ROOT) -> list[Manifest]:
    """All objects of `deploy/k8s/overlays/<overlay>`.

    Raises:
        NotRendered: with kubectl's error output.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "deploy"
        for name in ("k8s", "monitoring"):
            shutil.copytree(root / "deploy" / name, copy / name, ignore=shutil.ignore_patterns("secrets.env"))
        return render(copy / "k8s" / "overlays" / overlay)


def render(folder: Path) -> list[Manifest]:
    """All objects of one kustomization.

    Raises:
        NotRendered: with kubectl's error output.
    """
    made = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=TIMEOUT)
    if made.returncode != 0:
        raise NotRendered(made.stderr.strip())
    return [manifest for manifest in yaml.safe_load_all(made.stdout) if manifest]
