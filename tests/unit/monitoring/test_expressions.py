"""The expressions of alerts and dashboard are valid PromQL and use only series and labels that exist in the code."""

import pytest

from tests.unit.monitoring.metrics_in_code import metrics
from tests.unit.monitoring.promql import (
    EXPORTED,
    OF_COUNTERS,
    PROCESS,
    SCRAPED,
    grouped,
    is_counted,
    labels_of,
    metric_of,
    selections,
)
from tests.unit.monitoring.shown import expressions

EACH = pytest.mark.parametrize("expression", expressions().values(), ids=expressions().keys())
# Checks for a missing metric, or for an earlier value, need no range.
ALSO_OF_COUNTERS = {"absent", "last_over_time", ""}


@EACH
def test_every_series_exists_in_the_code_or_in_an_exporter(expression: str) -> None:
    found = selections(expression)
    assert found
    others = PROCESS.keys() | EXPORTED.keys()
    assert [one.series for one in found if metric_of(one.series) is None and one.series not in others] == []


@EACH
def test_every_label_exists_in_the_metrics_of_the_expression(expression: str) -> None:
    found = selections(expression)
    there = set(SCRAPED)
    for one in found:
        own = labels_of(one.series)
        assert one.labels <= own | SCRAPED, one
        there |= own
    assert grouped(expression) <= there


@EACH
def test_rates_are_taken_of_counters_and_only_of_counters(expression: str) -> None:
    found = selections(expression)
    increases = {one.series for one in found if one.function in OF_COUNTERS}
    for one in found:
        if is_counted(one.series):
            assert one.function in OF_COUNTERS | ALSO_OF_COUNTERS, one
            assert one.function != "" or one.series in increases, one
        else:
            assert one.function not in OF_COUNTERS, one


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {one.series for where, text in expressions().items() if where[:5] == "panel" for one in selections(text)}
    assert [metric.name for metric in metrics().values() if not metric.series & shown] == []


@pytest.mark.parametrize(
    "wrong", ["sum(", "rate(exporter_jobs)", "exporter_jobs[5m] > 1", "sum by state (exporter_jobs)"]
)
def test_the_parser_rejects_what_prometheus_rejects(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        selections(wrong)
