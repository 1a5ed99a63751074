"""Every metric the services define, read from their source: name, type, labels, help, and the folder it is in."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.system import ROOT

TYPES = {"Counter", "Gauge", "Histogram", "Summary"}


@dataclass(frozen=True)
class Metric:
    """One metric, as Prometheus names it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    folder: str

    @property
    def series(self) -> set[str]:
        """The names of what is scraped."""
        if self.type == "histogram":
            return {f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum"}
        return {self.name}


def metrics() -> dict[str, Metric]:
    """By name."""
    found = [
        metric for path in sorted((ROOT / "services").rglob("*.py")) for metric in _in(path.read_text(), path.parts)
    ]
    assert len({metric.name for metric in found}) == len(found)
    return {metric.name: metric for metric in found}


def _in(source: str, parts: tuple[str, ...]) -> Iterator[Metric]:
    if "prometheus_client" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TYPES:
            name, text, *labels = [ast.literal_eval(argument) for argument in node.args]
            chosen = tuple(labels[0]) if labels else ()
            yield Metric(name, node.func.id.lower(), chosen, text, parts[parts.index("services") + 1])
