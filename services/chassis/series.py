"""Series of metrics that are there before anything is counted in them."""

from prometheus_client import Counter


def begin(counter: Counter, *values: str) -> None:
    """Begin a series at 0 for each value of the counter's one label: one that began with 1 would show no increase."""
    for value in values:
        counter.labels(value)
