"""The options of an export, put together from a file and from the command line."""

import json
from pathlib import Path

import pytest
import typer

from catalog_exports.cli.export import export_options


def options_file(folder: Path, content: object) -> Path:
    path = folder / "options.json"
    path.write_text(json.dumps(content))
    return path


def test_the_command_line_is_added_to_the_file_and_takes_precedence(tmp_path: Path) -> None:
    path = options_file(tmp_path, {"delimiter": ";", "utf8_bom": True, "filters": {"brand": "Acme"}})
    lists = {"include_fields": ["sku,price", "brand"], "order_by": None}
    assert export_options(path, ["utf8_bom=false"], ["price>=30"], lists) == {
        "delimiter": ";",
        "utf8_bom": False,
        "filters": {"brand": "Acme", "price": {"gte": "30"}},
        "include_fields": ["sku", "price", "brand"],
    }


@pytest.mark.parametrize(
    ("assignment", "condition", "message"),
    [("delimiter", "price>=30", "write NAME=VALUE"), ("delimiter=;", "price~30", "price~30")],
)
def test_malformed_options_are_named(assignment: str, condition: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        export_options(None, [assignment], [condition], {})


@pytest.mark.parametrize("stored", [[], None, "brand=Acme"])
def test_conditions_cannot_be_added_to_filters_that_are_not_an_object(tmp_path: Path, stored: object) -> None:
    path = options_file(tmp_path, {"filters": stored})
    with pytest.raises(typer.BadParameter, match="filters is not a JSON object"):
        export_options(path, None, ["price>=30"], {})
