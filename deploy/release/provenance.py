"""Where a release comes from, as a statement of in-toto with the predicate of SLSA, version 1."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:catalog-exports:make-release:v1"
"""`make release` of the commit; externalParameters are its variables."""


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def checksums(files: Sequence[Path]) -> str:
    """As `sha256sum --check` reads it."""
    return "".join(f"{digest(file)}  {file.name}\n" for file in sorted(files))


def statement(
    files: Sequence[Path],
    *,
    commit: str,
    source: str,
    parameters: Mapping[str, str],
    images: Sequence[str],
    at: datetime,
) -> str:
    """JSON that says from which commit and by which command the files were made.

    Args:
        source: URL of the repository; empty if it is not known.
        images: as in the manifests; those with a digest are dependencies.
        at: the time of the release.
    """
    pinned = [
        {"uri": f"pkg:docker/{name}", "digest": {"sha256": value}} for name, value in map(_pinned, images) if value
    ]
    repository = {"uri": f"git+{source}" if source else "git", "digest": {"gitCommit": commit}}
    made = {
        "_type": STATEMENT,
        "subject": [{"name": file.name, "digest": {"sha256": digest(file)}} for file in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": dict(parameters),
                "internalParameters": {"python": platform.python_version()},
                "resolvedDependencies": [repository, *pinned],
            },
            "runDetails": {
                "builder": {"id": "urn:catalog-exports:maintainer"},
                "metadata": {"startedOn": at.isoformat(timespec="seconds").replace("+00:00", "Z")},
            },
        },
    }
    return json.dumps(made, indent=2) + "\n"


def _pinned(image: str) -> tuple[str, str]:
    name, _, value = image.partition("@sha256:")
    return name, value
