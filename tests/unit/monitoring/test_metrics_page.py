"""docs/metrics.md lists exactly the metrics of the code, and their names follow the conventions of Prometheus."""

import re
from collections.abc import Mapping
from functools import cache

import pytest

from tests.system import ROOT
from tests.unit.monitoring.metrics_in_code import Metric, metrics

PAGE = ROOT / "docs" / "metrics.md"
ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*) \| (?P<help>[^|]*) \|")
HEADINGS = {"chassis": "Every process", "gateway": "Gateway", "exporter": "Exporter", "delivery": "Delivery"}
BOUNDED = {"exporter_tenant_jobs", "exporter_tenant_artifact_bytes", "exporter_tenant_limit_ratio"}
"""Only the tenants with most are in these (services/exporter/jobs/tenant_metrics.py)."""
# Labels with unlimited values would create a time series for each value.
UNBOUNDED = ("id", "tenant", "path", "url", "user", "host", "address", "message", "reason_text", "name", "key")
EACH = pytest.mark.parametrize("metric", metrics().values(), ids=lambda metric: metric.name)


@cache
def listed() -> Mapping[str, tuple[str, str, tuple[str, ...], str]]:
    """Section, type, labels and help of every metric on the page, by name."""
    section, found = "", {}
    for line in PAGE.read_text().splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        if row := ROW.fullmatch(line):
            labels = tuple(re.findall(r"`(\w+)`", row["labels"]))
            assert row["name"] not in found, f"{row['name']} is listed twice"
            found[row["name"]] = (section, row["type"], labels, row["help"])
    return found


def test_the_page_lists_the_metrics_of_the_code_and_nothing_else() -> None:
    assert set(listed()) == set(metrics())


@EACH
def test_the_page_describes_each_metric_as_the_code_does(metric: Metric) -> None:
    section, kind, labels, text = listed()[metric.name]
    assert (kind, labels, text) == (metric.type, metric.labels, metric.help)
    assert section == HEADINGS.get(metric.folder, metric.folder.capitalize())


@EACH
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") is (metric.type == "counter")
    if metric.type == "histogram":
        assert metric.name.endswith("_seconds")
    assert metric.help.endswith(".")
    if metric.folder != "chassis":
        assert metric.name.startswith(f"{metric.folder}_")


@EACH
def test_no_label_has_an_unlimited_number_of_values(metric: Metric) -> None:
    bounded = {"tenant"} if metric.name in BOUNDED else set()
    assert not [label for label in metric.labels if label in {*UNBOUNDED} - bounded or label.endswith("_id")]
    assert "le" not in metric.labels


@EACH
def test_the_page_explains_the_values_of_each_label(metric: Metric) -> None:
    values = PAGE.read_text().partition("## Labels")[2]
    for label in metric.labels:
        assert f"| `{label}` |" in values, label
