"""Lists what the images depend on, with licences, and known vulnerabilities: `python -m deploy.release.dependencies`.

The licences are those that the installed packages declare. pip-audit asks PyPI for vulnerabilities; where it cannot be
reached, a message says so, and the command still succeeds.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from deploy.local.processes.children import ROOT
from deploy.release.requirements import SERVICES, requirements

TIMEOUT = 300.0
UNKNOWN = "not declared"


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A pinned dependency, and the services that need it."""

    name: str
    version: str
    licence: str
    services: str


def packages(root: Path = ROOT) -> list[Package]:
    """All pinned dependencies of the services, by name."""
    used: dict[tuple[str, str], list[str]] = {}
    for service in SERVICES:
        for one in requirements(root, service):
            used.setdefault((one.name, one.version), []).append(service)
    return sorted(Package(*pin, licence(pin[0]), ", ".join(services)) for pin, services in used.items())


def licence(name: str) -> str:
    """What the package declares: an expression (PEP 639), classifiers, or the first line of a text."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return "not installed on this platform"
    return _declared(found) or UNKNOWN


def _declared(found: Distribution) -> str:
    metadata = found.metadata
    if expression := metadata.get_all("License-Expression", []):
        return str(expression[0])
    classifiers = [one for one in metadata.get_all("Classifier", []) if one.startswith("License ::")]
    names = [one.rpartition(" :: ")[2] for one in classifiers if one.count("::") > 1]
    return " and ".join(names) or next(iter(metadata.get_all("License", [])), "").strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Audit:
    """The known vulnerabilities, and the packages of which nothing could be found out."""

    known: tuple[str, ...]
    unaudited: tuple[str, ...]


def vulnerabilities(service: str, root: Path = ROOT, command: Sequence[str] = ()) -> Audit | None:
    """What is known of the packages of a service; None if nothing could be found out of any.

    Args:
        command: in place of pip-audit's.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        words = [*(command or (sys.executable, "-m", "pip_audit")), "--disable-pip", "--require-hashes"]
        words += ["--progress-spinner=off", "--format=json", f"--output={file}"]
        words += [f"--requirement={root / 'requirements' / f'{service}.txt'}"]
        try:
            subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return None
        return _read(json.loads(file.read_text())["dependencies"]) if file.exists() else None


def _read(found: Sequence[dict[str, Any]]) -> Audit | None:
    unaudited = [package["name"] for package in found if "skip_reason" in package]
    return None if len(unaudited) == len(found) else Audit(tuple(_reported(found)), tuple(unaudited))


def _reported(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    for package in found:
        for one in package.get("vulns", ()):
            fixed = ", ".join(one["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}"


def main() -> int:
    """Return 1 if a vulnerability is known."""
    for package in packages():
        print(f"{package.name:40} {package.version:14} {package.licence:50} {package.services}")
    print()
    known = 0
    for service in SERVICES:
        found = vulnerabilities(service)
        if found is None:
            print(f"{service}: the data on vulnerabilities could not be reached")
            continue
        print(f"{service}: {len(found.known)} known vulnerabilities", *found.known, sep="\n  ")
        if found.unaudited:
            print(f"{service}: nothing is known of {', '.join(found.unaudited)}")
        known += len(found.known)
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())
