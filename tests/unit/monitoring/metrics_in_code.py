"""All metrics that the services define, read from their source code."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from tests.system import ROOT

TYPES = {"Counter", "Gauge", "Histogram", "Summary"}


@dataclass(frozen=True)
class Metric:
    """One metric; `folder` is the package below `services` that defines it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    folder: str

    @property
    def series(self) -> set[str]:
        """The names of its time series."""
        if self.type == "histogram":
            return {f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum"}
        return {self.name}


@cache
def metrics() -> Mapping[str, Metric]:
    """All metrics by name."""
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
