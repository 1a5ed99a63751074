"""Arbitrary columns of a request for property tests: every source and every rule."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from services.exporter.catalogue.output_columns import CellCheck, CheckedKind
from services.exporter.formats.column_options import Column, output_columns

_TEXTS = st.one_of(
    st.sampled_from(["", "a", "rot", "=1", "x,y", 'say "hi"', "a|b", "é ü", "\U0001f389", "true", "1"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
_SHORT = st.sampled_from(["", ".", ",", " ", "\u202f", "'", "EUR", "…", "%"])
_PATTERNS = st.sampled_from(
    ["%d.%m.%Y", "%Y-%m-%dT%H:%M:%S%z", "%A %a %B %b %j", "%I:%M %p %y %%", "no directive", "é%Y"]
)
_NUMBER = st.fixed_dictionaries(
    {},
    optional={
        "decimals": st.integers(0, 20),
        "decimal_mark": _SHORT.filter(bool),
        "thousands": _SHORT,
        "prefix": _SHORT,
        "suffix": _SHORT,
    },
)
_RULES = {
    "map": st.dictionaries(_TEXTS, _TEXTS, min_size=1, max_size=5),
    "strip_html": st.booleans(),
    "join": _SHORT,
    "number": _NUMBER,
    "date": st.fixed_dictionaries(
        {"format": _PATTERNS}, optional={"timezone": st.sampled_from(["UTC", "Europe/Paris", "America/New_York"])}
    ),
    "bool": st.tuples(_TEXTS, _TEXTS).map(list),
    "case": st.sampled_from(["upper", "lower", "capitalize"]),
    "max_length": st.integers(1, 12),
    "if_missing": st.sampled_from(["empty", "empty", "skip_row", "fail"]),
}
_VALUES = st.one_of(_TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1))


def _template(names: Sequence[str]) -> st.SearchStrategy[str]:
    literal = _TEXTS.map(lambda text: text.replace("{", "{{").replace("}", "}}"))
    usable = [name for name in names if name and "{" not in name and "}" not in name]
    field = st.sampled_from(usable or ["id"]).map(lambda name: f"{{{name}}}")
    return st.lists(st.one_of(literal, field), min_size=1, max_size=4).map("".join).filter(bool)


@st.composite
def specs(draw: st.DrawFn, names: Sequence[str]) -> list[Any]:
    """A list for the option `columns` that names these fields, or none at all."""
    name = st.sampled_from([*(name for name in names if name), "nobody"])
    several = st.lists(name, min_size=1, max_size=3)
    source = st.one_of(
        st.fixed_dictionaries({"field": name}, optional={"fallback": several}),
        st.fixed_dictionaries({"first_of": several}),
        st.fixed_dictionaries({"template": _template(names)}),
        st.fixed_dictionaries({"value": _VALUES}),
    )
    found = []
    for number in range(draw(st.integers(1, 4))):
        rules = draw(st.fixed_dictionaries({}, optional=_RULES))
        found.append({"header": f"{number} {draw(_TEXTS)}", **draw(source), **rules})
    return found


CHECKS = st.builds(
    CellCheck,
    required=st.booleans(),
    values=st.one_of(st.just(()), st.lists(_TEXTS, min_size=1, max_size=5, unique=True).map(tuple)),
    max_length=st.one_of(st.none(), st.integers(1, 12)),
    kind=st.sampled_from(CheckedKind),
    currencies=st.just(("CHF", "EUR", "USD")),
    reserved_prefixes=st.sampled_from([(), ("02", "2", "981")]),
)
"""What a receiver may accept."""


@st.composite
def checks_of(draw: st.DrawFn, given: Sequence[Any]) -> tuple[dict[str, CellCheck], list[list[str]]]:
    """What a receiver accepts in some of the columns, and groups of them."""
    headers = [column["header"] for column in given]
    checks = {header: draw(CHECKS) for header in headers if draw(st.booleans())}
    groups = draw(st.lists(st.lists(st.sampled_from(headers), min_size=1, max_size=3, unique=True), max_size=2))
    return checks, groups if checks else []


def columns_of(
    given: Sequence[Any], checks: Mapping[str, CellCheck] | None = None, one_of: Sequence[Sequence[str]] = ()
) -> Any:
    """What the transcoders get for the option."""
    return output_columns([Column.model_validate(column) for column in given], checks, one_of)
