"""MongoDB and NATS as in production; each test starts the one it needs."""

from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.integration.cluster.data_plane import DataPlane


@pytest.fixture
def plane(tmp_path: Path, authority: Authority) -> DataPlane:
    """The Secrets and certificates."""
    folder = tmp_path / "data-plane"
    folder.mkdir()
    return DataPlane(folder, authority)
