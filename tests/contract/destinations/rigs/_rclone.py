"""rclone's servers with what their rigs have in common: a folder of this machine behind them."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.real_servers import Rclone

FOLDER = "exports/catalogue"
USER, PASSWORD = "shop", "correct horse"


class RcloneRig:
    """A running server and an independent view of its files."""

    scale = 1
    folder = FOLDER
    """Where the files are, below what the server shows."""

    def __init__(self, served: Callable[[Path], Rclone]) -> None:
        self._served = served

    @property
    def port(self) -> int:
        return self.server.port

    def start(self) -> None:
        self._parent = Path(tempfile.mkdtemp(prefix="rclone-"))
        self.server = self._served(self._parent)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()
        shutil.rmtree(self._parent)

    def clear(self) -> None:
        """Start again with nothing: the server's cache would not know what was removed from the folder behind it."""
        self.server.kill()
        for folder in (self.server.root, self.server.cache):
            shutil.rmtree(folder, ignore_errors=True)
        self.server.start()

    def files(self) -> dict[str, bytes]:
        """The visible files of the folder."""
        return {path.name: path.read_bytes() for path in self._entries() if not path.name.startswith(".")}

    def leftovers(self) -> list[str]:
        """Parts in the folder, and those that the server still keeps in its cache."""
        cached = self.server.cache.glob(f"vfs/**/{self.folder}/.*")
        return sorted({path.name for path in (*self._entries(), *cached) if path.name.startswith(".")})

    def fill(self) -> None:
        self.server.limit_files(0)

    def unfill(self) -> None:
        self.server.limit_files()

    def _entries(self) -> list[Path]:
        folder = self.server.root / self.folder
        return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
