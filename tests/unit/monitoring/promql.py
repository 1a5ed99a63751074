"""Parses PromQL expressions and lists the series, functions and labels that they use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from tests.unit.monitoring.metrics_in_code import Metric, metrics

PROCESS = {"process_resident_memory_bytes": "gauge", "process_cpu_seconds_total": "counter"}
"""Metrics of prometheus-client itself, with their types."""
SCRAPED = {"job", "instance", "namespace", "pod", "service"}
"""Labels that Prometheus adds."""
OF_COUNTERS = {"rate", "irate", "increase"}


@dataclass(frozen=True)
class Selected:
    """One selection of series in an expression."""

    series: str
    labels: frozenset[str]
    function: str
    """The function that is applied directly to it; empty if there is none."""


def selections(expression: str) -> list[Selected]:
    """All selections of series in an expression.

    Raises:
        ValueError: a syntax error, or an argument of the wrong type.
    """
    return list(_walk(promql.parse(expression), ""))


def grouped(expression: str) -> set[str]:
    """The labels in the `by` clauses of an expression."""
    return {label for node in _nodes(promql.parse(expression)) for label in _grouping(node)}


def metric_of(series: str) -> Metric | None:
    """The metric that has this series; None if the code defines none."""
    return next((metric for metric in metrics().values() if series in metric.series), None)


def is_counted(series: str) -> bool:
    """Whether the series is a counter, so that only its increase is meaningful."""
    metric = metric_of(series)
    return metric.type != "gauge" if metric else PROCESS[series] == "counter"


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.MatrixSelector):
        return [node.vector_selector]
    if isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return [node.expr]
    return []


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _grouping(node: Any) -> list[str]:
    modifier = getattr(node, "modifier", None)
    return list(getattr(modifier, "labels", None) or [])


def _walk(node: Any, function: str) -> Iterator[Selected]:
    if isinstance(node, promql.VectorSelector):
        labels = frozenset(matcher.name for matcher in node.matchers.matchers)
        yield Selected(node.name or "", labels, function)
    inner = node.func.name if isinstance(node, promql.Call) else function
    for child in _children(node):
        yield from _walk(child, inner if isinstance(child, promql.MatrixSelector | promql.VectorSelector) else "")
