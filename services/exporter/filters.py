"""STUB."""

from dataclasses import dataclass


class FilterError(Exception):
    problems = ()


@dataclass
class Filter:
    raw: dict


def parse_filter(raw):
    return Filter(raw)


def to_query(f):
    return dict(f.raw)


def fields(f):
    return tuple(f.raw)


def check_values(f, kinds):
    pass
