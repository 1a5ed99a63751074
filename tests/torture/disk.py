"""The disk of the artifact store: a small file system of its own, which can be filled and stalled for real.

It is an ext4 image, mounted in a mount namespace of the harness. So the mount ends with the harness, whatever kills it.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SIZE = 2 * 1024**3
"""Bytes; the image is sparse."""
BLOCK = 4096
_INSIDE = "TORTURE_NAMESPACE"


def enter_namespace() -> None:
    """Run this program again in its own mount namespace, where root may mount; otherwise go on without."""
    if _INSIDE in os.environ or os.geteuid() != 0:
        return
    if not _runs("unshare", "--mount", "true"):
        return
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "tests.torture", *sys.argv[1:]])


class Disk:
    """A folder that is a file system of its own, if this process may mount one; `is_real` says whether."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self._image = image
        self._filler = folder / "filler"
        self.is_real = False

    def mount(self) -> None:
        """Create it."""
        self.folder.mkdir(parents=True)
        if _INSIDE not in os.environ:
            return
        with self._image.open("wb") as image:
            image.truncate(SIZE)
        self.is_real = _runs("mkfs.ext4", "-q", "-m", "0", self._image) and _runs(
            "mount", "-o", "loop", self._image, self.folder
        )

    def unmount(self) -> None:
        """Remove it; the files are gone."""
        if self.is_real:
            _runs("umount", "--lazy", self.folder)
            self._image.unlink()

    def fill(self) -> None:
        """Leave no block free."""
        with self._filler.open("wb") as filler:
            reached, size = 0, shutil.disk_usage(self.folder).free
            while size >= BLOCK:
                try:
                    os.posix_fallocate(filler.fileno(), reached, size)
                    reached += size
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)

    def stall(self, seconds: float) -> None:
        """Let writes and syncs hang for so long.

        A child thaws the file system on time, even if the harness is killed meanwhile: its processes could not end.
        """
        script = f"fsfreeze --freeze '{self.folder}' && sleep {seconds:.2f}; fsfreeze --unfreeze '{self.folder}'"
        self._thaw = subprocess.Popen(
            ["sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def is_stalled(self) -> bool:
        """Whether the child that thaws it still runs."""
        return self._thaw.poll() is None


def _runs(*command: str | Path) -> bool:
    """Whether the command can be run and succeeds."""
    with suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    return False
