"""The first five minutes, as the README has them."""

import re
from pathlib import Path

from deploy.local.demo.sftp_server import SftpServer, sftp_server
from tests.documents import check_session
from tests.system import ROOT, System

README = ROOT / "README.md"
SCHEDULES = ROOT / "docs" / "schedules.md"


def checkout(folder: Path, key: str) -> Path:
    """A folder that looks like one in which `make up` runs."""
    (folder / ".local").mkdir()
    (folder / ".local" / "api-key").write_text(f"{key}\n")
    return folder


def of_reader(server: SftpServer) -> dict[str, str]:
    """The variables in which a reader names a server."""
    config = server.config()
    names = {"SFTP_HOST": "host", "SFTP_PORT": "port", "SFTP_USER": "username", "SFTP_PASSWORD": "password"}
    return {variable: str(config[field]) for variable, field in names.items()}


def test_the_session_in_the_readme_happens_as_it_is_shown(system: System, tmp_path: Path) -> None:
    folder = checkout(tmp_path, system.key("default"))
    with sftp_server(tmp_path / "sftp") as server:
        ports = {"GATEWAY_PORT": str(system.http_port), "MONGODB_URI": system.mongod.uri}
        check_session(README, folder, **ports, **of_reader(server))
    # The platform is one for every export, so others of the session may be on their way too.
    beginnings = [path.read_text().splitlines()[:2] for path in (tmp_path / "sftp" / "incoming").glob("*.csv")]
    assert ["sku,price", "MH01-XS-Black,52.0"] in beginnings


def test_the_session_on_schedules_happens_as_it_is_shown(system: System, tmp_path: Path) -> None:
    system.fill("timetable", [{"sku": "S-1", "price": 1.0}])
    folder = checkout(tmp_path, system.key("timetable"))
    with sftp_server(tmp_path / "sftp") as server:
        check_session(SCHEDULES, folder, GATEWAY_PORT=str(system.http_port), **of_reader(server))


def test_every_make_target_in_the_readme_exists() -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README.read_text()))
    assert {"demo", "up", "load", "key"} <= named <= known


def test_every_page_of_ours_that_a_document_links_to_is_there() -> None:
    documents = [README, *(ROOT / "docs").glob("*.md")]
    for document in documents:
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", document.read_text())
        missing = [link for link in links if not (document.parent / link).exists()]
        assert not missing, f"{document.name}: {missing}"
