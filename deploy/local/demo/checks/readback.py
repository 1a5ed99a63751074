"""Compares the files with the catalogue, value by value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deploy.local.demo.checks.readers import Table, read
from deploy.local.demo.checks.rules import (
    Leaves,
    columns,
    is_in_excel,
    is_in_json,
    is_in_parquet,
    is_in_text,
    is_in_xml,
    leaves,
    without_empty_parents,
)
from deploy.local.demo.exports import Exported
from deploy.local.demo.products.catalogue import Catalogue

RULES: dict[str, Callable[[Any, Any], bool]] = {
    "csv": is_in_text,
    "zip": is_in_text,
    "json": is_in_json,
    "excel": is_in_excel,
    "xml": is_in_xml,
    "parquet": is_in_parquet,
}
COLLECTIONS = {"excel": ("products", "suppliers")}
ABSENT = "(nothing)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a file and the catalogue; rows count from 1, without the header."""

    place: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.place}: expected {self.expected!r}, found {self.found!r}"


def differences(exported: Exported, catalogue: Catalogue) -> Iterator[Difference]:
    """All differences between a file and the catalogue.

    Raises:
        Unreadable: the file cannot be read.
    """
    form, path = exported.export.form, exported.download.path
    tables = read(form, path)
    names = COLLECTIONS.get(form, ("products",))
    if tuple(tables) != names:
        yield Difference(f"{path.name}, sheets", names, tuple(tables))
        return
    total = sum(len(catalogue.collections[name]) for name in names)
    if exported.records != total:
        yield Difference(f"{path.name}, records counted by the job", total, exported.records)
    for name in names:
        expected = [leaves(document) for document in catalogue.collections[name]]
        yield from _in_table(f"{path.name}, {name}", expected, tables[name], RULES[form])


def _in_table(
    place: str, expected: list[Leaves], table: Table, is_right: Callable[[Any, Any], bool]
) -> Iterator[Difference]:
    if table.columns is not None:
        expected = without_empty_parents(expected)
        yield from _in_header(place, columns(expected), table.columns)
    if len(table.rows) != len(expected):
        yield Difference(f"{place}, number of rows", len(expected), len(table.rows))
    for number, (right, found) in enumerate(zip(expected, table.rows, strict=False), 1):
        where = f"{place}, row {number} (id {right['id']})"
        if table.columns is None and list(right) != list(found):
            yield Difference(f"{where}, fields", list(right), list(found))
        for name in {**right, **found}:
            # A table has every column in every row, so a missing value is an empty cell.
            wanted = right.get(name, ABSENT if table.columns is None else None)
            there = found.get(name, ABSENT)
            if not is_right(wanted, there):
                yield Difference(f"{where}, column {name}", wanted, there)


def _in_header(place: str, expected: set[str], found: list[str]) -> Iterator[Difference]:
    if missing := expected - set(found):
        yield Difference(f"{place}, missing columns", sorted(missing), ABSENT)
    if surplus := set(found) - expected:
        yield Difference(f"{place}, unexpected columns", ABSENT, sorted(surplus))
    if len(set(found)) != len(found):
        yield Difference(f"{place}, columns", "each once", found)
    if found[:1] != ["id"]:
        yield Difference(f"{place}, first column", "id", found[:1])
