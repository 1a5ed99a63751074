"""docs/operations.md agrees with the code: settings, alerts and link targets."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import settings_table

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operations.md"
TEXT = PAGE.read_text()
RULES = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
# Log events that the page names outside of its table of events.
EVENTS = {
    "cannot_start",
    "certificate_refused",
    "nats_unreachable",
    "loop_failed",
    "submit_postponed",
    "baseline_undecided",
    "schedule_unreadable",
    "request_failed",
    "call_failed",
}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_links_to_the_section_with_its_name(alert: dict[str, dict[str, str]]) -> None:
    assert f"\n#### {alert['alert']}\n" in TEXT
    assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{str(alert['alert']).lower()}"


def test_every_section_describes_an_existing_alert() -> None:
    sections = re.findall(r"^#### (\w+)$", TEXT.partition("\n## Alerts\n")[2], re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]


def test_every_log_event_it_names_is_logged() -> None:
    rows = re.search(r"^\| `event` \| .*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert rows is not None
    in_table = {event for row in rows[1].splitlines() for event in re.findall(r"`([a-z]+_[a-z_]+)`", row.split("|")[1])}
    assert len(in_table) > 5
    assert set(re.findall(r"`([a-z]+_[a-z_]+)`", TEXT)) >= EVENTS
    sources = "\n".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    assert [event for event in sorted(EVENTS | in_table) if f'"{event}"' not in sources] == []


def test_the_settings_table_matches_the_code() -> None:
    assert settings_table.table() in TEXT


def test_a_page_that_differs_from_the_code_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "operations.md"
    page.write_text(TEXT.replace("| `LOG_LEVEL` | `INFO`", "| `LOG_LEVEL` | `DEBUG`"))
    monkeypatch.setattr(settings_table, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["settings_table", "--check"])
    assert settings_table.main() == 1
    monkeypatch.setattr(sys, "argv", ["settings_table"])
    assert settings_table.main() == 0
    assert page.read_text() == TEXT


def test_make_check_verifies_the_page() -> None:
    shown = subprocess.run(["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "deploy.settings_table --check" in shown.stdout
