"""The version in its places: `pyproject.toml`, the label in the base of the manifests, and the changelog.

Everything else takes it from there: images their label, manifests the tags of the images, Jobs their names.
"""

import re
import tomllib
from datetime import date
from pathlib import Path

from deploy.release import job_names

PROJECT = "pyproject.toml"
BASE = "deploy/k8s/base/kustomization.yaml"
CHANGELOG = "CHANGELOG.md"
VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
"""Semantic Versioning 2.0.0, without build metadata, which a tag of an image cannot have."""
PLACES = {
    PROJECT: re.compile(r'^version = "(.+)"$', re.MULTILINE),
    BASE: re.compile(r"^ +app\.kubernetes\.io/version: (.+)$", re.MULTILINE),
}
UNRELEASED = "## Unreleased\n"


class NotReleasable(Exception):
    """The message says what has to be changed first."""


def current(root: Path) -> str:
    """The version of the project."""
    return str(tomllib.loads((root / PROJECT).read_text())["project"]["version"])


def write(root: Path, version: str, today: date) -> None:
    """Set the version in all places, and give the changelog a section with this date. Changes nothing if it is set.

    Raises:
        NotReleasable: the version has another form, or the changelog has nothing to release.
    """
    if not VERSION.fullmatch(version):
        raise NotReleasable(f"{version!r} is not a version such as 1.2.3 or 1.2.3-rc.1")
    _date_changes(root / CHANGELOG, version, today)
    for place, pattern in PLACES.items():
        text = (root / place).read_text()
        (found,) = pattern.finditer(text)
        (root / place).write_text(f"{text[: found.start(1)]}{version}{text[found.end(1) :]}")
    job_names.write(root)


def changes(root: Path, version: str) -> str:
    """The changelog's section of a version, without its heading; empty if there is none."""
    found = re.search(
        rf"^## {re.escape(version)} - .*\n((?:(?!## ).*\n)*)", (root / CHANGELOG).read_text(), re.MULTILINE
    )
    return found[1].strip() if found else ""


def _date_changes(file: Path, version: str, today: date) -> None:
    text = file.read_text()
    if re.search(rf"^## {re.escape(version)} - ", text, re.MULTILINE):
        return
    before, heading, after = text.partition(UNRELEASED)
    if not heading or not after.partition("\n## ")[0].strip():
        raise NotReleasable(f"{file.name} has no changes under Unreleased")
    file.write_text(f"{before}{heading}\n## {version} - {today.isoformat()}\n{after}")
