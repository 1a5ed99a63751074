"""Each alert fires when it should and not otherwise, as Prometheus' own tool says."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.unit.monitoring.shown import FOLDER, alerts

CASES = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
CHECKS = [check for case in CASES for check in case["promql_expr_test"]]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian's package prometheus)")
def test_promtool_confirms_every_case() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yaml"], cwd=FOLDER, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in alerts()])
def test_there_is_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    expected = {bool(check["exp_samples"]) for check in CHECKS if f'alertname="{alert}"' in check["expr"]}
    assert expected == {True, False}


def test_every_case_is_about_an_alert_that_exists() -> None:
    named = {name for check in CHECKS for name in re.findall(r'alertname="(\w+)"', check["expr"])}
    assert named <= {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_tells_installations_apart(rule: dict[str, str]) -> None:
    """Every aggregation keeps the namespace; what is not aggregated keeps all labels anyway."""
    for by in re.findall(r"\b(?:sum|min|max|group|count|avg)\b\s*(by \([^)]*\))?", rule["expr"]):
        assert "namespace" in by and "cluster" in by, rule["expr"]
