"""Every alert has a unique name, a description and a section in the runbook."""

import re
from typing import Any

import pytest

from tests.system import ROOT
from tests.unit.monitoring.promql import labels_of, selections
from tests.unit.monitoring.shown import alerts

EACH = pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
RUNBOOK = ROOT / "docs" / "operations.md"


def test_names_are_unique() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)


@EACH
def test_an_alert_has_a_severity_and_a_description(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["summary"].endswith(".") and "{{" not in annotations["summary"]
    assert annotations["description"].endswith(".") and annotations["description"] != annotations["summary"]


@EACH
def test_an_alert_links_to_its_section_of_the_runbook(rule: dict[str, Any]) -> None:
    anchor = rule["alert"].lower()
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{anchor}"
    sections = {line.lstrip("# ").strip().lower() for line in RUNBOOK.read_text().splitlines() if line.startswith("#")}
    assert anchor in sections


@EACH
def test_a_description_uses_only_labels_that_the_expression_keeps(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
    there = {label for one in selections(rule["expr"]) for label in labels_of(one.series)}
    assert named <= there | {"service", "instance"}
    for label in named:
        assert re.search(rf"by \([^)]*\b{label}\b|\"{label}\"", rule["expr"]), label
