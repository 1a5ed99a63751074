"""Stands in for the DNS of headless Services: a hosts file with the addresses of each name, mounted by all pods."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


class Names:
    """The file. It is rewritten in place, because the pods have mounted this inode."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        self.write({})

    def write(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """Replace the content with these names and addresses."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{address} {name}" for name, listed in addresses.items() for address in listed]
        content = ("\n".join(lines) + "\n").encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def close(self) -> None:
        """Close the file, after the last pod has been removed."""
        os.close(self._descriptor)
