"""Parses PromQL expressions and lists the series, functions and labels that they use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from tests.unit.monitoring.metrics_in_code import Metric, metrics

PROCESS = {"process_resident_memory_bytes": "gauge", "process_cpu_seconds_total": "counter"}
"""Metrics of prometheus-client itself, with their types."""
OF_MEMBERS = ("cl_role", "cl_id", "rs_nm", "rs_state")
EXPORTED: dict[str, tuple[str, ...]] = {
    # mongodb_exporter v0.53, exporter/general_collector.go, metrics.go, v1_compatibility.go and dbstats_collector.go
    "mongodb_up": ("cluster_role",),
    "mongodb_rs_members_optimeDate": (*OF_MEMBERS, "member_idx", "member_state"),
    "mongodb_mongod_replset_oplog_head_timestamp": (),
    "mongodb_mongod_replset_oplog_tail_timestamp": (),
    "mongodb_dbstats_fsUsedSize": (*OF_MEMBERS, "database"),
    "mongodb_dbstats_fsTotalSize": (*OF_MEMBERS, "database"),
    # prometheus-nats-exporter v0.20, collector/healthz.go and collector.go
    "gnatsd_healthz_status_value": ("server_id", "value"),
    "gnatsd_varz_jetstream_stats_storage": ("server_id",),
    "gnatsd_varz_jetstream_config_max_storage": ("server_id",),
    "gnatsd_varz_connections": ("server_id",),
    "gnatsd_varz_max_connections": ("server_id",),
}
"""Metrics of the exporters of MongoDB and NATS, all of them gauges, with their labels."""
SCRAPED = {"cluster", "job", "instance", "namespace", "pod", "service"}
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


def labels_of(series: str) -> set[str]:
    """The labels of a series, without those that Prometheus adds."""
    metric = metric_of(series)
    return {*metric.labels, *(("le",) if series.endswith("_bucket") else ())} if metric else {*EXPORTED.get(series, ())}


def is_counted(series: str) -> bool:
    """Whether the series is a counter, so that only its increase is meaningful."""
    metric = metric_of(series)
    return metric.type != "gauge" if metric else PROCESS.get(series) == "counter"


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
