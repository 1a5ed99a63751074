"""The pinned requirements of a service, from `requirements/<service>.txt`."""

import re
from dataclasses import dataclass
from pathlib import Path

SERVICES = ("gateway", "exporter", "delivery", "scheduler")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)[^\n]*\\\n((?: +--hash=sha256:[0-9a-f]{64}[ \\]*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package with its version, and the SHA-256 of each of its files, in hexadecimal."""

    name: str
    version: str
    hashes: tuple[str, ...]


def requirements(root: Path, service: str) -> list[Requirement]:
    """All of a service, by name."""
    found = PIN.findall((root / "requirements" / f"{service}.txt").read_text())
    return [Requirement(name, version, tuple(re.findall(r"sha256:(\w+)", hashes))) for name, version, hashes in found]
