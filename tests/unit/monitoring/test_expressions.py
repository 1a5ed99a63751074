"""What alerts and dashboard ask Prometheus parses, and asks for series and labels that the code has."""

import pytest

from tests.unit.monitoring.metrics_in_code import metrics
from tests.unit.monitoring.promql import (
    OF_COUNTERS,
    PROCESS,
    SCRAPED,
    grouped,
    is_counted,
    metric_of,
    selections,
)
from tests.unit.monitoring.shown import expressions

EACH = pytest.mark.parametrize("expression", expressions().values(), ids=expressions().keys())
# Whether a metric is scraped at all, or was there before, is asked without a range.
ALSO_OF_COUNTERS = {"absent", ""}


@EACH
def test_every_series_exists_in_the_code(expression: str) -> None:
    found = selections(expression)
    assert found
    assert [one.series for one in found if metric_of(one.series) is None and one.series not in PROCESS] == []


@EACH
def test_every_label_is_one_of_the_metrics_asked_for(expression: str) -> None:
    found = selections(expression)
    there = set(SCRAPED)
    for one in found:
        metric = metric_of(one.series)
        own = {*metric.labels, *(("le",) if one.series.endswith("_bucket") else ())} if metric else set()
        assert one.labels <= own | SCRAPED, one
        there |= own
    assert grouped(expression) <= there


@EACH
def test_what_only_grows_is_asked_for_its_increase_and_nothing_else_is(expression: str) -> None:
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
def test_the_parser_refuses_what_prometheus_would(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        selections(wrong)
