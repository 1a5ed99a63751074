"""`make release` as it is run: what it writes is complete, agrees with the commit, and can be checked and applied."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.release import manifests, version
from deploy.release.__main__ import release
from deploy.release.job_names import name_of
from deploy.release.rendering import KUBECTL
from deploy.release.requirements import SERVICES
from tests.unit.release.project import Project

pytestmark = pytest.mark.full

VERSION = "9.8.7"
REGISTRY = "images.example.org/exports"
DIGEST = f"sha256:{'ab' * 32}"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def made(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release, with the digest of one image."""
    folder = tmp_path_factory.mktemp("dist") / VERSION
    digests = folder.parent / "digests"
    digests.write_text(f"gateway={DIGEST}\ndocker.io/library/mongo:8.0.12={DIGEST}\n")
    release(project.root, VERSION, folder, registry=REGISTRY, digests=digests, source="https://git.example.org/exports")
    return folder


def test_the_commit_has_the_version_in_its_places_and_nothing_is_tagged(project: Project, made: Path) -> None:
    assert project.git("log", "-1", "--format=%s") == f"release: {VERSION}"
    assert version.current(project.root) == VERSION
    assert f"## {VERSION} - 20" in (project.root / "CHANGELOG.md").read_text()
    assert project.git("status", "--porcelain") == ""
    assert project.git("tag") == ""


def test_the_checksums_cover_every_file(made: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=made, check=True, capture_output=True)
    listed = {line.split("  ")[1] for line in (made / "SHA256SUMS").read_text().splitlines()}
    signature = {"SHA256SUMS.sigstore.json"} if shutil.which("cosign") else set()
    assert listed | {"SHA256SUMS"} | signature == {file.name for file in made.iterdir()}


def test_the_manifests_have_the_images_of_the_version_and_digests_where_they_are_known(made: Path) -> None:
    text = (made / f"catalog-exports-{VERSION}.yaml").read_text()
    ours = [image for image in manifests.images(text) if "exports" in image]
    assert ours == [
        f"{REGISTRY}/delivery:{VERSION}",
        f"{REGISTRY}/exporter:{VERSION}",
        f"{REGISTRY}/gateway:{VERSION}@{DIGEST}",
        f"{REGISTRY}/scheduler:{VERSION}",
    ]
    assert f"docker.io/library/mongo:8.0.12@{DIGEST}" in manifests.images(text)
    assert manifests.EXAMPLE_REGISTRY not in text
    objects = list(yaml.safe_load_all(text))
    (job,) = [one for one in objects if one["kind"] == "Job"]
    assert job["metadata"]["name"] == name_of(job)
    assert len(objects) > 60


@pytest.mark.parametrize("service", SERVICES)
def test_the_bill_of_materials_lists_every_requirement_with_its_hashes(
    project: Project, made: Path, service: str
) -> None:
    text = (made / f"{service}-{VERSION}.cdx.json").read_text()
    bill = json.loads(text)
    if service == SERVICES[0]:  # they have the same form
        assert JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text) is None
    image = bill["metadata"]["component"]
    assert (image["name"], image["version"]) == (f"catalog-exports/{service}", VERSION)
    pinned = (project.root / "requirements" / f"{service}.txt").read_text()
    assert {(one["name"], one["version"]) for one in bill["components"]} == set(PINNED.findall(pinned))
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", pinned))
    assert {each["content"] for one in bill["components"] for each in one["hashes"]} == hashes
    (needed,) = [one["dependsOn"] for one in bill["dependencies"] if one["ref"] == image["bom-ref"]]
    assert set(needed) == {one["purl"] for one in bill["components"]}


def test_the_provenance_names_the_commit_and_the_files(project: Project, made: Path) -> None:
    statement = json.loads((made / "provenance.json").read_text())
    for subject in statement["subject"]:
        content = (made / subject["name"]).read_bytes()
        assert subject["digest"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert {one["name"] for one in statement["subject"]} == {file.name for file in made.iterdir()} - {
        "provenance.json",
        "SHA256SUMS",
        "SHA256SUMS.sigstore.json",
    }
    build = statement["predicate"]["buildDefinition"]
    assert build["resolvedDependencies"][0] == {
        "uri": "git+https://git.example.org/exports",
        "digest": {"gitCommit": project.git("rev-parse", "HEAD")},
    }
    assert build["resolvedDependencies"][1]["digest"] == {"sha256": "ab" * 32}
    assert build["externalParameters"]["VERSION"] == VERSION


def test_a_second_run_of_the_same_commit_gives_the_same_files(project: Project, made: Path, tmp_path: Path) -> None:
    commit = project.git("rev-parse", "HEAD")
    digests = made.parent / "digests"
    release(project.root, VERSION, tmp_path / "again", registry=REGISTRY, digests=digests, source="")
    assert project.git("rev-parse", "HEAD") == commit
    differing = [
        file.name
        for file in sorted(made.iterdir())
        if file.read_bytes() != (tmp_path / "again" / file.name).read_bytes()
    ]
    assert [name for name in differing if not name.startswith("SHA256SUMS")] == ["provenance.json"]  # it has the time


def test_a_release_is_refused_with_open_changes_or_under_a_tag_of_another_commit(
    project: Project, made: Path, tmp_path: Path
) -> None:
    def attempt() -> None:
        release(project.root, VERSION, tmp_path / "dist", registry=REGISTRY, digests=None, source="")

    (project.root / "note").write_text("not committed")
    with pytest.raises(version.NotReleasable, match="commit or stash"):
        attempt()
    (project.root / "note").unlink()
    project.git("tag", f"v{VERSION}", "HEAD~1")
    with pytest.raises(version.NotReleasable, match="is tagged already"):
        attempt()
    project.git("tag", "--delete", f"v{VERSION}")
    wrong = tmp_path / "digests"
    wrong.write_text("gateway:latest\n")
    with pytest.raises(version.NotReleasable, match="gateway:latest"):
        release(project.root, VERSION, tmp_path / "dist", registry=REGISTRY, digests=wrong, source="")
    assert not (tmp_path / "dist").exists()


def test_the_checksums_are_signed_where_cosign_is_installed(
    project: Project, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cosign itself is no package; this one writes down how it was called."""
    cosign = tmp_path / "bin" / "cosign"
    cosign.parent.mkdir()
    cosign.write_text('#!/bin/sh\necho "$@" > "$(echo "$@" | sed "s/.*--bundle //; s/ .*//")"\n')
    cosign.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cosign.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("COSIGN_KEY", "release.key")
    folder = tmp_path / "dist"
    files = release(project.root, VERSION, folder, registry=REGISTRY, digests=None, source="")
    bundle = folder / "SHA256SUMS.sigstore.json"
    assert files[-1] == bundle
    called = bundle.read_text().split()
    assert called == ["sign-blob", "--yes", "--key", "release.key", "--bundle", str(bundle), str(folder / "SHA256SUMS")]


def test_an_overlay_elsewhere_uses_the_manifests_of_a_tag(project: Project, made: Path, tmp_path: Path) -> None:
    """What deploy/k8s/README.md says: `...?ref=v1.2.3`, here from a repository on this machine."""
    project.git("tag", "--force", f"v{VERSION}")
    place = f"file://{project.root}//deploy/k8s"
    kustomization = {
        "namespace": "shop-exports",
        "transformers": [f"{place}/namespace?ref=v{VERSION}"],
        "resources": [f"{place}/base?ref=v{VERSION}"],
        "components": [f"{place}/components/artifacts-volume?ref=v{VERSION}"],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    rendered = subprocess.run([KUBECTL, "kustomize", tmp_path], capture_output=True, text=True)
    project.git("tag", "--delete", f"v{VERSION}")
    assert rendered.returncode == 0, rendered.stderr
    assert manifests.images(rendered.stdout) == [f"catalog-exports/{one}:{VERSION}" for one in sorted(SERVICES)]
