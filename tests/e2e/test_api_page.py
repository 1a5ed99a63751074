"""The page for REST users: its examples work as shown, and its tables are complete."""

import re
from pathlib import Path
from typing import Any

from deploy.local.demo.receivers.sftp_server import sftp_server
from tests.documents import check_session
from tests.rest import Rest
from tests.system import ROOT, System

PAGE = ROOT / "docs" / "api.md"
WEBHOOKS = ROOT / "docs" / "webhooks.md"
PROFILES = ROOT / "docs" / "profiles.md"
# Used between services only; no route returns them.
INTERNAL = {
    "exporter_leaving",
    "queue_unavailable",
    "delivery_not_found",
    "delivery_not_failed",
    "platform_id_reused",
    "webhook_id_reused",
    "schedule_id_reused",
    "profile_id_reused",
    "manifest_missing",
    "manifests_differ",
}
BEHIND = ("exporter", "delivery", "scheduler")
SHOWN: list[dict[str, Any]] = [
    {
        "_id": "1",
        "sku": "MH01-XS-Black",
        "brand": "Acme",
        "name": "Hoodie",
        "price": 52.0,
        "attributes": {"color": "Black"},
    },
    {
        "_id": "2",
        "sku": "WB04-M-Red",
        "brand": "Acme",
        "name": "Bag, small",
        "price": 34.5,
        "attributes": {"color": "Red"},
    },
]
# Enough others that an export of all of them can still be cancelled.
OTHERS = [{"_id": f"x{n}", "sku": f"X{n}", "brand": "Others", "price": 1.0, "text": "x" * 300} for n in range(60_000)]


def test_the_examples_work_as_shown(system: System, tmp_path: Path) -> None:
    system.fill("acme", [*SHOWN, *OTHERS])
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "api-key").write_text(system.key("acme"))
    with sftp_server(tmp_path / "sftp") as server:
        found = server.config()
        reader_variables = {"SFTP_HOST": found["host"], "SFTP_PORT": str(found["port"])}
        reader_variables |= {"SFTP_USER": found["username"], "SFTP_PASSWORD": found["password"]}
        check_session(
            PAGE, tmp_path, GATEWAY_PORT=str(system.http_port), MONGODB_URI=system.mongod.uri, **reader_variables
        )
        assert (tmp_path / "sftp" / "incoming" / "acme.csv").read_bytes() == (tmp_path / "acme.csv").read_bytes()


def test_the_examples_of_webhooks_work_as_shown(system: System, tmp_path: Path) -> None:
    system.fill("webhooks-page", SHOWN)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "api-key").write_text(system.key("webhooks-page"))
    check_session(WEBHOOKS, tmp_path, GATEWAY_PORT=str(system.http_port))


def test_every_event_of_a_webhook_is_on_its_page(system: System) -> None:
    document = Rest(system.url, "").call("GET", "/openapi.json").json
    events = document["components"]["schemas"]["EventType"]["enum"]
    rows = re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", WEBHOOKS.read_text(), re.MULTILINE)
    assert rows == events


def test_every_operation_is_on_the_page(system: System) -> None:
    paths = Rest(system.url, "").call("GET", "/openapi.json").json["paths"]
    assert len(paths) > 10
    page = PAGE.read_text() + WEBHOOKS.read_text() + PROFILES.read_text()
    for path, methods in paths.items():
        shown = re.sub(r"/exports/\w+/products", "/exports/{format}/products", path.removeprefix("/api/v1"))
        shown = re.sub(r"\{\w+_id\}", "{id}", shown)
        for method in methods:
            assert f"`{method.upper()} {shown}`" in page, f"{method} {path}"


def test_every_code_of_a_problem_is_in_the_table_and_every_code_of_a_job_on_the_page() -> None:
    sources = [path for name in ("gateway", *BEHIND) for path in (ROOT / "services" / name).rglob("*.py")]
    # The codes of failed deliveries are on the pages of the destinations.
    written = "\n".join(source.read_text() for source in sources if "destinations" not in source.parts)
    answered = set(
        re.findall(r"(?:super\(\).__init__|BadKey|\bFault|Unavailable|WrongState)\(\s*\"([a-z_]+)\"", written)
    )
    answered |= set(re.findall(r"code=\"([a-z_]+)\"", written))
    of_jobs = set(re.findall(r"JobFault\(\s*\"([a-z_]+)\"", written))
    answered |= {f"{name}_unavailable" for name in BEHIND}
    assert {"not_json", "missing_key", "link_expired", "too_many_jobs", "catalogue_missing"} <= answered
    assert {"platform_in_use", "job_has_no_file", "schedule_not_found"} <= answered
    assert {"too_many_columns", "artifact_store_full"} <= of_jobs
    page = PAGE.read_text()
    rows = re.findall(r"^\| \d{3} \| ([^|]*) \|", page, re.MULTILINE)
    table = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert answered - table - INTERNAL == set()
    assert not [code for code in of_jobs if f"`{code}`" not in page]


def test_every_option_of_every_format_is_on_the_page(system: System) -> None:
    document = Rest(system.url, "").call("GET", "/openapi.json").json
    [table] = re.findall(r"(?<=\n\| option \| formats).*?\n\n", PAGE.read_text(), re.DOTALL)
    found = [row for row in table.splitlines() if row.startswith("| `")]
    rows = {name: row for row in found for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    schemas = {
        name: schema
        for name, schema in document["components"]["schemas"].items()
        if re.fullmatch("[A-Z][a-z]+Options", name)
    }
    assert len(schemas) >= 4
    for name, schema in schemas.items():
        form = name.removesuffix("Options").lower()
        for option in schema["properties"]:
            assert option in rows, f"{form}: {option}"
            assert "all" in rows[option] or form in rows[option], f"{form}: {option}"
