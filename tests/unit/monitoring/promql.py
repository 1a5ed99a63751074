"""What an expression of PromQL is made of, by a parser that knows types and functions as Prometheus does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from tests.unit.monitoring.metrics_in_code import Metric, metrics

PROCESS = {"process_resident_memory_bytes": "gauge", "process_cpu_seconds_total": "counter"}
"""Of prometheus-client itself."""
SCRAPED = {"job", "instance", "namespace", "pod", "service"}
"""Labels that Prometheus adds."""
OF_COUNTERS = {"rate", "irate", "increase"}


@dataclass(frozen=True)
class Selected:
    """One selection of series in an expression."""

    series: str
    labels: frozenset[str]
    function: str
    """What it is given to, without anything between; empty when that is none."""


def selections(expression: str) -> list[Selected]:
    """All selections.

    Raises:
        ValueError: it does not parse, or a function is given what it does not take.
    """
    return list(_walk(promql.parse(expression), ""))


def grouped(expression: str) -> set[str]:
    """The labels that are grouped by."""
    return {label for node in _nodes(promql.parse(expression)) for label in _grouping(node)}


def metric_of(series: str) -> Metric | None:
    """Whose series it is; None when no metric of the code has it."""
    return next((metric for metric in metrics().values() if series in metric.series), None)


def is_counted(series: str) -> bool:
    """Whether it only grows, so that its value says nothing and its increase does."""
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
