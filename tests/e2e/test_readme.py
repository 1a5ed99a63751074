"""The shell sessions in README.md and docs/schedules.md work exactly as shown."""

import re
from pathlib import Path

from deploy.local.demo.receivers.sftp_server import SftpServer, sftp_server
from tests.documents import check_session
from tests.system import ROOT, System

README = ROOT / "README.md"
SCHEDULES = ROOT / "docs" / "schedules.md"


def checkout(folder: Path, key: str) -> Path:
    """A folder that looks like one in which `make up` is running."""
    (folder / ".local").mkdir()
    (folder / ".local" / "api-key").write_text(f"{key}\n")
    return folder


def sftp_environment(server: SftpServer) -> dict[str, str]:
    """The variables that the sessions read the SFTP server from."""
    config = server.config()
    names = {"SFTP_HOST": "host", "SFTP_PORT": "port", "SFTP_USER": "username", "SFTP_PASSWORD": "password"}
    return {variable: str(config[field]) for variable, field in names.items()}


def test_the_session_in_the_readme_works_as_shown(system: System, tmp_path: Path) -> None:
    folder = checkout(tmp_path, system.key("default"))
    with sftp_server(tmp_path / "sftp") as server:
        ports = {"GATEWAY_PORT": str(system.http_port), "MONGODB_URI": system.mongod.uri}
        check_session(README, folder, **ports, **sftp_environment(server))
    # The platform receives every export of the tenant, so there may be other files.
    files = [path.read_text().splitlines() for path in (tmp_path / "sftp" / "incoming").glob("*.csv")]
    assert ["sku,price", "MH01,52.0", "WB04,34.5", "UG06,7.0"] in files


def test_the_session_in_the_schedules_page_works_as_shown(system: System, tmp_path: Path) -> None:
    system.fill("timetable", [{"_id": "1", "sku": "S-1", "price": 1.0}])
    folder = checkout(tmp_path, system.key("timetable"))
    with sftp_server(tmp_path / "sftp") as server:
        check_session(SCHEDULES, folder, GATEWAY_PORT=str(system.http_port), **sftp_environment(server))


def test_every_make_target_in_the_readme_exists() -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README.read_text()))
    assert {"demo", "test", "up", "load", "key"} <= named <= known
