"""The PromQL expressions of the alerts and the dashboard."""

import json
from functools import cache
from typing import Any

import yaml

from tests.system import ROOT

FOLDER = ROOT / "deploy" / "monitoring"


@cache
def alerts() -> list[dict[str, Any]]:
    """The alerting rules."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    assert len({group["name"] for group in groups}) == len(groups)
    return [rule for group in groups for rule in group["rules"]]


@cache
def dashboard() -> Any:
    """The dashboard as Grafana imports it."""
    return json.loads((FOLDER / "dashboard.json").read_text())


def expressions() -> dict[str, str]:
    """Expressions by alert or panel, with a value in place of Grafana's variable."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            found[f"panel {panel['id']}{target['refId']}"] = target["expr"].replace("$__rate_interval", "5m")
    return found
