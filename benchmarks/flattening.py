"""Flattening as in a hand-written script, for the scripts that exports are compared with."""

from typing import Any


def flat(document: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Dotted names and values of a document's leaves; lists as text."""
    cells: list[tuple[str, Any]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            cells += flat(value, f"{above}{name}.")
        else:
            cells.append((above + name, "|".join(map(str, value)) if isinstance(value, list) else value))
    return cells
