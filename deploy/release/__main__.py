"""Makes a release from the last commit: `python -m deploy.release VERSION` (`make release VERSION=…`).

Sets the version, commits that, and writes everything that needs no registry to `dist/VERSION`. Tags and pushes nothing.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.processes.children import ROOT
from deploy.release import bill_of_materials, manifests, provenance, version
from deploy.release.rendering import NotRendered
from deploy.release.requirements import SERVICES

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
FAILURES = (version.NotReleasable, NotRendered, subprocess.CalledProcessError, OSError)


def git(root: Path, *words: str) -> str:
    """The output of a git command.

    Raises:
        CalledProcessError: git refused.
    """
    return subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True).stdout.strip()


def prepare(root: Path, wanted: str, now: datetime) -> str:
    """Commit the version unless it is set already; returns the commit.

    Raises:
        NotReleasable: there are changes that are not committed, or nothing to release.
    """
    if git(root, "status", "--porcelain"):
        raise version.NotReleasable("commit or stash your changes first")
    if tagged := git(root, "tag", "--list", f"v{wanted}", "--format=%(objectname)"):
        commit = git(root, "rev-parse", f"{tagged}^{{commit}}")
        if commit != git(root, "rev-parse", "HEAD"):
            raise version.NotReleasable(
                f"v{wanted} is tagged already, at {commit[:12]}; check it out or choose another"
            )
    version.write(root, wanted, now.date())
    if git(root, "status", "--porcelain"):
        git(root, "commit", "--quiet", "--all", f"--message=release: {wanted}")
    return git(root, "rev-parse", "HEAD")


def digests_in(file: Path | None) -> dict[str, str]:
    """Digests by service or image, from lines like `gateway=sha256:...` and `docker.io/library/mongo:8=sha256:...`.

    Raises:
        NotReleasable: a line has another form.
    """
    found: dict[str, str] = {}
    for line in file.read_text().split() if file else ():
        service, _, value = line.partition("=")
        if not (service in SERVICES or "/" in service) or not DIGEST.fullmatch(value):
            raise version.NotReleasable(f"{file}: {line!r} must be a service or an image, '=' and sha256:...")
        found[service] = value
    return found


def release(root: Path, wanted: str, folder: Path, *, registry: str, digests: Path | None, source: str) -> list[Path]:
    """Write the files of a release into a new folder, and return them.

    Raises:
        NotReleasable, NotRendered, CalledProcessError, OSError: with the reason.
    """
    now = datetime.now(UTC)
    known = digests_in(digests)
    commit = prepare(root, wanted, now)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    archive = folder / f"catalog-exports-{wanted}.tar.gz"
    git(root, "archive", f"--prefix=catalog-exports-{wanted}/", f"--output={archive}", commit)
    with tempfile.TemporaryDirectory() as made:
        # From the commit alone: files that are not in it must not get into a release.
        with tarfile.open(archive) as packed:
            packed.extractall(made)  # noqa: S202  git has written it; `filter` is not in every Python 3.11
        clean = Path(made) / f"catalog-exports-{wanted}"
        files = [archive, *_write(clean, wanted, folder, registry, known)]
    images = manifests.images((folder / f"catalog-exports-{wanted}.yaml").read_text())
    parameters = {"VERSION": wanted, "REGISTRY": registry, **({"DIGESTS": str(digests)} if digests else {})}
    statement = folder / "provenance.json"
    statement.write_text(
        provenance.statement(files, commit=commit, source=source, parameters=parameters, images=images, at=now)
    )
    sums = folder / "SHA256SUMS"
    sums.write_text(provenance.checksums([*files, statement]))
    return [*files, statement, sums, *_signed(sums)]


def _write(root: Path, wanted: str, folder: Path, registry: str, digests: dict[str, str]) -> list[Path]:
    rendered, notes = folder / f"catalog-exports-{wanted}.yaml", folder / "CHANGES.md"
    rendered.write_text(manifests.text_of(root, wanted, registry, digests))
    notes.write_text(version.changes(root, wanted) + "\n")
    bills = {service: folder / f"{service}-{wanted}.cdx.json" for service in SERVICES}
    for service, file in bills.items():
        file.write_text(bill_of_materials.text_of(root, service, wanted))
    return [rendered, notes, *bills.values()]


def _signed(sums: Path) -> list[Path]:
    """The signature of the checksums, and so of all files; none where cosign is not installed."""
    if shutil.which("cosign") is None:
        print("not signed: cosign is not installed", file=sys.stderr)
        return []
    bundle = sums.with_name("SHA256SUMS.sigstore.json")
    key = ["--key", os.environ["COSIGN_KEY"]] if os.environ.get("COSIGN_KEY") else []
    subprocess.run(["cosign", "sign-blob", "--yes", *key, "--bundle", bundle, sums], check=True)
    return [bundle]


def main() -> int:
    """Return 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release")
    parser.add_argument("version")
    parser.add_argument("--registry", default=manifests.EXAMPLE_REGISTRY, help="where the images are")
    parser.add_argument("--digests", type=Path, help="file with lines like gateway=sha256:...")
    parser.add_argument("--source", default="", help="URL of the repository")
    given = parser.parse_args()
    folder = ROOT / "dist" / given.version
    try:
        files = release(
            ROOT, given.version, folder, registry=given.registry, digests=given.digests, source=given.source
        )
    except FAILURES as exc:
        print(getattr(exc, "stderr", None) or exc, file=sys.stderr)
        return 1
    print(f"{folder.relative_to(ROOT)}:", *(file.name for file in files), sep="\n  ")
    print(f"check it, then: git tag --sign v{given.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
