"""Renders the overlays, and each component on top of the base, with kubectl in a copy that has new secrets."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.unit.k8s.manifests import Manifest

YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of libyaml if PyYAML was built with it, as it is ten times as fast."""
ROOT = Path(__file__).parents[3]
KUBECTL = Path(sys.executable).with_name("kubectl")
OVERLAYS = ("local", "production")
COMPONENTS = tuple(sorted(path.parent.name for path in ROOT.glob("deploy/k8s/components/*/kustomization.yaml")))
CASES = ("base", *OVERLAYS, *COMPONENTS)

# Values that an overlay must set for a component.
GIVEN = {
    "artifacts-s3": ["ARTIFACTS_URL=s3://bucket/prefix", "AWS_REGION=eu-central-1"],
    "public": ["PUBLIC_URL=https://files.example.org/exports"],
}
ASKS = {"artifacts-s3": "artifacts-s3", "ingress": "public", "backup": "artifacts-s3"}
# Components that change or use objects of another one.
REQUIRES = {"backup": ("mongodb", "artifacts-s3"), "mongodb-exporter": ("mongodb",), "nats-exporter": ("nats",)}


class Renderings:
    """Renders each case once, in a copy of deploy/.

    Args:
        folder: an empty folder for the copy.
    """

    def __init__(self, folder: Path) -> None:
        self.k8s = folder / "deploy" / "k8s"
        shutil.copytree(ROOT / "deploy" / "monitoring", folder / "deploy" / "monitoring")
        shutil.copytree(ROOT / "deploy" / "k8s", self.k8s, ignore=shutil.ignore_patterns("secrets.env"))
        subprocess.run([self.k8s / "overlays" / "local" / "make-secrets.sh"], check=True)
        self.of = functools.cache(self._of)

    def _of(self, case: str) -> Sequence[Manifest]:
        """The objects of the base, of an overlay, or of the base with one component."""
        if case in OVERLAYS:
            return render(self.k8s / "overlays" / case)
        return render(self.k8s / "base" if case == "base" else self._overlay(case))

    def _overlay(self, component: str) -> Path:
        folder = self.k8s / "overlays" / f"with-{component}"
        folder.mkdir()
        overlay = {
            "namespace": "catalog-exports",
            "transformers": ["../../namespace"],
            "resources": ["../../base"],
            "components": [f"../../components/{one}" for one in (*REQUIRES.get(component, ()), component)],
        }
        if component in ASKS:
            name = ASKS[component]
            overlay["configMapGenerator"] = [{"name": name, "literals": GIVEN[name]}]  # type: ignore[list-item]  # YAML
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return folder


def render(folder: Path) -> Sequence[Manifest]:
    """The objects of one kustomization. Warnings of kustomize, such as for deprecated fields, are errors."""
    made = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert (made.returncode, made.stderr) == (0, ""), made.stderr
    return [one for one in yaml.load_all(made.stdout, Loader=YAML) if one]
