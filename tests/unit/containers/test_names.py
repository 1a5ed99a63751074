"""The hosts file that replaces the cluster's DNS."""

import contextlib
from pathlib import Path

from deploy.containers.names import Names


def test_names_are_updated_in_the_file_that_pods_have_mounted(tmp_path: Path) -> None:
    with contextlib.closing(Names(tmp_path / "made" / "hosts")) as names, names.file.open() as mounted:
        names.write({"exporter": ["127.0.0.2", "127.0.0.3"], "gateway": ["127.0.0.2"]})
        names.write({"exporter": ["127.0.0.3"], "gateway": []})
        assert mounted.read() == "127.0.0.1 localhost\n127.0.0.3 exporter\n"
