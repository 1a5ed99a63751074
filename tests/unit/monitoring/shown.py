"""Every expression that alerts and dashboard show to Prometheus, and where it is."""

import json
from typing import Any

import yaml

from tests.system import ROOT

FOLDER = ROOT / "deploy" / "monitoring"


def alerts() -> list[dict[str, Any]]:
    """The alerting rules."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    assert len({group["name"] for group in groups}) == len(groups)
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> Any:
    """The dashboard as Grafana imports it."""
    return json.loads((FOLDER / "dashboard.json").read_text())


def expressions() -> dict[str, str]:
    """By what they are for; what Grafana puts in for a variable is put in."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            found[f"panel {panel['id']}{target['refId']}"] = target["expr"].replace("$__rate_interval", "5m")
    return found
