"""The meaning of a cell in a CSV file: no change if it is as exported, otherwise a value of its column's type.

A changed cell keeps the type of its product's value. A new cell gets a type that its column has in the catalogue. The
type of a column that the catalogue does not have is inferred from all its cells in the file.
"""

from typing import Any

from loader.errors import BadRecord
from loader.values.json_values import NUMBER, parsed
from loader.values.kinds import IN_WORDS, NUMBERS, ColumnTypes, Kind, kind_of
from loader.values.readers import OBJECT_ID, read, respelled
from loader.values.spreadsheets import is_resaved
from services.exporter.transcode.sheet_xml import MAX_TEXT, cut_text
from services.exporter.transcode.values import FORMULA_STARTS, text


def unquoted(cell: str) -> str:
    """The cell without the quote that `escape_formulas` adds."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA_STARTS) else cell


def shows(cell: str, value: Any) -> bool:
    """Whether the cell is what an export writes for the value, or what a spreadsheet makes of that on its own.

    Ignored are: the quote of `escape_formulas`, line breaks, the end of a text that is too long for a workbook, and
    what `is_resaved` describes.
    """
    shown = text(value)
    if shown in (cell, unquoted(cell)):
        return True
    if "\n" in cell and _one_break(cell) == _one_break(shown):
        return True
    return is_resaved(cell, shown) or (len(shown) * 2 > MAX_TEXT and len(cell) < len(shown) and cell == cut_text(shown))


def _one_break(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n")


def changed(cell: str, value: Any, types: ColumnTypes) -> Any:
    """The new value of a cell that was changed from `value`.

    Raises:
        BadRecord: the cell fits neither the value's type nor another type of the column.
    """
    if value is None:
        return new(cell, types)
    if text(value).startswith(FORMULA_STARTS):
        cell = unquoted(cell)
    own = kind_of(value)
    try:
        if own is Kind.LIST:
            items = tuple({kind_of(item): None for item in value if item is not None})
            return _list(cell, ColumnTypes(items or types.items))
        return read(cell, own, value)
    except ValueError:
        return new(cell, ColumnTypes((own,) if types.inferred else types.kinds or (own,), types.items))


def new(cell: str, types: ColumnTypes) -> Any:
    """The value of a cell whose product has no value yet, by the types of its column; text if there are none.

    Raises:
        BadRecord: the cell fits none of them.
    """
    for kind in _by_likelihood(cell, types.kinds or (Kind.TEXT,)):
        try:
            if kind is Kind.LIST:
                return _list(cell, ColumnTypes(types.items, inferred=types.inferred))
            return read(cell, kind)
        except ValueError:
            continue
    if types.inferred:
        return cell
    raise BadRecord(_refusal(cell, types.kinds))


def _by_likelihood(cell: str, kinds: tuple[Kind, ...]) -> list[Kind]:
    """The column's kinds in the order to try them: the one the cell looks like, the most frequent, then text."""
    like = respelled(cell)
    if like is Kind.TEXT:
        like = Kind.LIST if "|" in cell or cell[:1] == "[" else Kind.OBJECT_ID if OBJECT_ID.fullmatch(cell) else like
    others: list[Kind] = [kind for kind in kinds if kind is not Kind.TEXT]
    first = [like] if like in kinds else [kind for kind in others if kind in NUMBERS and like in NUMBERS]
    if Kind.TEXT in kinds and Kind.LIST in kinds[: kinds.index(Kind.TEXT)] and first in ([], [Kind.TEXT]):
        first = [Kind.LIST]  # most products have a list here, so this is a list of one item
    return [*first, *([Kind.TEXT] if Kind.TEXT in kinds else others)]


def _refusal(cell: str, kinds: tuple[Kind, ...]) -> str:
    if Kind.OTHER in kinds:
        return "this value can only be changed with JSON"
    comma = cell.replace(",", ".", 1)
    hint = ""
    if "," in cell and set(kinds) & set(NUMBERS) and NUMBER.fullmatch(comma):
        hint = f"; write {comma}"
    elif Kind.DATE in kinds:
        hint = "; write 2026-03-15T09:00:00Z"
    return f"{cell[:60]!r} is not {' or '.join(dict.fromkeys(IN_WORDS[kind] for kind in kinds))}{hint}"


def _list(cell: str, items: ColumnTypes) -> list[Any]:
    if cell.startswith("["):
        try:
            found = parsed(cell)
            if isinstance(found, list) and text(found).startswith("[") and (not items.inferred or text(found) == cell):
                return found
        except ValueError:
            pass  # not a JSON list: the first item begins with a bracket
    return [new(piece, items) if piece or Kind.TEXT in items.kinds else None for piece in cell.split("|")]
