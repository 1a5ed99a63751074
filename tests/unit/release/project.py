"""A small copy of the project in a git repository of its own, for tests that make releases of it."""

import shutil
import subprocess
from pathlib import Path

from deploy.release.version import UNRELEASED
from tests.system import ROOT

PARTS = ("pyproject.toml", "CHANGELOG.md", "requirements", "deploy/k8s", "deploy/monitoring")


class Project:
    """The copy, with one commit."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        for part in PARTS:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("secrets.env", "__pycache__"))
            else:
                shutil.copy(ROOT / part, folder / part)
        # Right after a release there is nothing to release.
        changelog = folder / "CHANGELOG.md"
        changelog.write_text(changelog.read_text().replace(UNRELEASED, f"{UNRELEASED}\n- Something new.\n", 1))
        self.git("init", "--quiet")
        self.git("config", "user.name", "Tests")
        self.git("config", "user.email", "tests@example.com")
        self.commit("start")

    def git(self, *words: str) -> str:
        made = subprocess.run(["git", "-C", self.root, *words], check=True, capture_output=True, text=True)
        return made.stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
