"""The shell sessions in README.md, docs/schedules.md and docs/profiles.md work exactly as shown."""

import csv
import io
import re
from pathlib import Path
from typing import Any

from deploy.local.demo.receivers.sftp_server import sftp_server
from tests.documents import check_session, checkout, sftp_environment
from tests.system import ROOT, System

README = ROOT / "README.md"
SCHEDULES = ROOT / "docs" / "schedules.md"
PROFILES = ROOT / "docs" / "profiles.md"


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


def test_the_session_in_the_profiles_page_works_as_shown(system: System, tmp_path: Path) -> None:
    hoodie = {
        "name": {"en_GB": "Hoodie", "fr_FR": "Sweat à capuche"},
        "text": {"en_GB": "<p>Warm.</p>", "fr_FR": "<p>Chaud &amp; doux.</p>"},
        "ean": "4006381333931",
        "stock": 3,
    }
    bottle = {"name": {"en_GB": "Bottle"}, "text": {"en_GB": "<p>Steel.</p>"}, "ean": "4006381333932", "stock": 0}
    products: list[dict[str, Any]] = [
        {"_id": "MH01", "sku": "MH01", "brand": "Acme", "price": 52.0, **hoodie},
        {"_id": "UG06", "sku": "UG06", "brand": "Zen", "price": 7.0, **bottle},
    ]
    system.fill("saved", products)
    folder = checkout(tmp_path, system.key("saved"))
    with sftp_server(tmp_path / "sftp") as server:
        check_session(PROFILES, folder, GATEWAY_PORT=str(system.http_port), **sftp_environment(server))
    [file] = (tmp_path / "sftp" / "incoming").glob("marketplace*")
    feed = file.read_text()
    assert [*csv.reader(io.StringIO(feed), delimiter="\t")] == [
        ["id", "title", "description", "link", "image_link", "availability", "price", "gtin"],
        [
            *("MH01", "Sweat à capuche", "Chaud & doux.", "https://shop.example.com/MH01"),
            *("https://shop.example.com/MH01.jpg", "in_stock", "52.00 EUR", "4006381333931"),
        ],
        [
            *("UG06", "Bottle", "Steel.", "https://shop.example.com/UG06"),
            *("https://shop.example.com/UG06.jpg", "out_of_stock", "7.00 EUR", "4006381333932"),
        ],
    ]


def test_every_make_target_in_the_readme_exists() -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README.read_text()))
    assert {"demo", "test", "up", "load", "key"} <= named <= known
