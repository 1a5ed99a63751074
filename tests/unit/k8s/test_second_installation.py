"""Two installations in one cluster: an overlay names its namespace and addresses once, and nothing of the other."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.k8s.manifests import WITHOUT_NAMESPACE, Manifest, of_kind
from tests.unit.k8s.rendering import COMPONENTS, KUBECTL, REQUIRES, ROOT, YAML, Renderings

NOT_TOGETHER = {"artifacts-volume", "autoscaling-hpa", "mongodb-initiate"}
"""Other components take their places, or contain them."""
APPLICATION = re.compile(
    r"""
    ^catalog-exports$                       # the label, and Secrets and other objects of that name
    | catalog-exports/[a-z]+:[\d.]+$        # images
    | ^catalog-exports/                     # annotations, and entries of a store for secrets
    | /(etc|var/lib)/catalog-exports/       # folders in containers
    | ^catalog-exports-(dashboard|jobs|deliveries|schedules|services|data)
    """,
    re.VERBOSE,
)
"""Where texts contain the name of the application, which is the same everywhere."""


def overlay(folder: Path, name: str) -> Path:
    """An overlay like that of a user, with every component that fits, whose own names all contain `name`."""
    kustomization = {
        "namespace": f"{name}-exports",
        "transformers": ["../../namespace"],
        "resources": ["../../base"],
        # Those that use objects of others come after them.
        "components": [
            f"../../components/{one}"
            for one in sorted(COMPONENTS, key=lambda one: one in REQUIRES)
            if one not in NOT_TOGETHER
        ],
        "images": [
            {"name": f"catalog-exports/{one}", "newName": f"{name}.example.com/catalog-exports/{one}"}
            for one in ("gateway", "exporter", "delivery", "scheduler")
        ],
        "configMapGenerator": [
            {"name": "artifacts-s3", "literals": [f"ARTIFACTS_URL=s3://{name}-bucket/files", "AWS_REGION=us-east-1"]},
            {"name": "public", "literals": [f"PUBLIC_URL=https://{name}.example.com"]},
        ],
    }
    made = folder / "overlays" / name
    made.mkdir()
    (made / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return made


@pytest.fixture(scope="module")
def texts(renderings: Renderings) -> dict[str, str]:
    """The renderings of two overlays as YAML."""
    return {
        name: subprocess.run(
            [KUBECTL, "kustomize", overlay(renderings.k8s, name)], capture_output=True, text=True, check=True
        ).stdout
        for name in ("north", "south")
    }


def by_name(text: str) -> dict[tuple[str, str], Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.load_all(text, Loader=YAML)}


def without_hashes(text: str) -> str:
    """Hashes in names differ because the content differs."""
    return re.sub(r"-[a-z0-9]{10}\b", "-hash", text)


def test_no_name_of_one_installation_is_in_the_other(texts: dict[str, str]) -> None:
    names = {name: set(re.findall(rf"[\w.:/-]*{name}[-.][\w./:-]*", text)) for name, text in texts.items()}
    assert len(names["north"]) > 10
    assert {one.replace("north", "south") for one in names["north"]} == names["south"]
    assert not [one for one in names["north"] if one in texts["south"]]
    assert not [one for one in names["south"] if one in texts["north"]]


def test_two_installations_differ_in_these_names_only(texts: dict[str, str]) -> None:
    north, south = (without_hashes(text) for text in (texts["north"].replace("north", "south"), texts["south"]))
    assert by_name(north) == by_name(south)


def test_nothing_is_left_of_the_namespace_that_the_components_are_written_for(texts: dict[str, str]) -> None:
    left = [
        text
        for one in yaml.load_all(texts["south"], Loader=YAML)
        if one["kind"] not in ("ConfigMap", "PrometheusRule")  # scripts, configuration files and texts for people
        for text in strings(one)
        if "catalog-exports" in text and not APPLICATION.search(text)
    ]
    assert left == []


def strings(value: object) -> list[str]:
    """All texts in an object, including keys."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def test_the_secrets_for_production_are_made_for_the_namespace_of_the_overlay(
    renderings: Renderings, tmp_path: Path
) -> None:
    for name in ("make-secrets.sh", "kustomization.yaml"):
        text = (renderings.k8s / "overlays" / "production" / name).read_text()
        (tmp_path / name).write_text(text.replace("namespace: catalog-exports\n", "namespace: south-exports\n"))
    made = subprocess.run(["sh", tmp_path / "make-secrets.sh"], capture_output=True, text=True, check=True).stdout
    assert {one["metadata"]["namespace"] for one in yaml.load_all(made, Loader=YAML)} == {"south-exports"}


def test_objects_without_a_namespace_are_named_by_it(texts: dict[str, str]) -> None:
    manifests = list(yaml.load_all(texts["south"], Loader=YAML))
    assert {one["metadata"]["name"] for one in of_kind(manifests, *WITHOUT_NAMESPACE)} == {
        "south-exports",
        "services.south-exports",
        "data.south-exports",
        "exporter-worker.south-exports",
    }


def test_the_name_of_a_certificate_is_written_once() -> None:
    """Where it is issued; what mounts it takes the name of its workload."""
    lines = [line for path in (ROOT / "deploy" / "k8s").rglob("*.yaml") for line in path.read_text().splitlines()]
    issued = re.findall(r"name: &name (\S+-mtls)", "\n".join(lines))
    assert len(issued) == 7
    for name in issued:
        assert [line for line in lines if re.search(rf"\b{name}\b", line)] == [f"  name: &name {name}"]
