"""What the DNS of headless Services says: which name is at which pods' addresses. A hosts file that all pods mount."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


class Names:
    """The file; it is rewritten in its place, since the pods have mounted this very file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        self.write({})

    def write(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """Tell the pods where each name is."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{address} {name}" for name, listed in addresses.items() for address in listed]
        content = ("\n".join(lines) + "\n").encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def close(self) -> None:
        """Nobody mounts it any more."""
        os.close(self._descriptor)
