"""The exact layout of JSON files; their content is tested in test_values_in_files."""

from typing import Any

import bson
import pytest
from bson import Decimal128, Int64

from services.exporter.catalogue.columns import Selection
from services.exporter.formats import formats
from services.exporter.formats.contract import Sheet
from services.exporter.transcode import Tally

pytestmark = pytest.mark.usefixtures("every_transcoder")

PRETTY, COMPACT, LINES = {"pretty": True}, {"pretty": False}, {"json_lines": True}


@pytest.mark.parametrize(
    ("options", "documents", "file"),
    [
        (PRETTY, 0, "[]\n"),
        (COMPACT, 0, "[]"),
        (LINES, 0, ""),
        (PRETTY, 1, '[\n  {\n    "id": 0,\n    "ü": []\n  }\n]\n'),
        (COMPACT, 1, '[{"id":0,"ü":[]}]'),
        (LINES, 1, '{"id":0,"ü":[]}\n'),
        (COMPACT, 2, '[{"id":0,"ü":[]},{"id":1,"ü":[]}]'),
        (LINES, 2, '{"id":0,"ü":[]}\n{"id":1,"ü":[]}\n'),
    ],
)
@pytest.mark.parametrize("empty_batches", [False, True])
def test_a_file_is_one_array_or_one_object_per_line(
    options: dict[str, Any], documents: int, file: str, empty_batches: bool
) -> None:
    batches = [bson.encode({"_id": n, "ü": []}) for n in range(documents)]
    if empty_batches:
        batches = [b"", *(piece for batch in batches for piece in (batch, b""))]
    chosen = formats()["json"].Options.model_validate(options)
    sheet = Sheet("products", (), Selection(), iter(batches))
    assert b"".join(formats()["json"].encode([sheet], chosen, Tally())).decode() == file


def test_json_lines_have_their_own_extension_and_media_type() -> None:
    form = formats()["json"]
    lines, array = form.Options.model_validate(LINES), form.Options()
    assert (form.extension(lines), form.media_type(lines)) == (".jsonl", "application/x-ndjson")
    assert (form.extension(array), form.media_type(array)) == (".json", "application/json")


@pytest.mark.parametrize(
    ("include", "file"),
    [
        (None, '{"id":"1E+400","a":{"b":["12.10",1.5,"NaN",5]},"c":"x"}\n'),
        (("a.b", "id"), '{"a":{"b":["12.10",1.5,"NaN",5]},"id":"1E+400"}\n'),
    ],
)
def test_decimals_may_be_strings_for_readers_whose_numbers_are_doubles(
    include: tuple[str, ...] | None, file: str
) -> None:
    product = {
        "_id": Decimal128("1E+400"),
        "a": {"b": [Decimal128("12.10"), 1.5, Decimal128("NaN"), Int64(5)]},
        "c": "x",
    }
    chosen = formats()["json"].Options.model_validate({**LINES, "decimals": "string"})
    sheet = Sheet("products", (), Selection(include), iter([bson.encode(product)]))
    assert b"".join(formats()["json"].encode([sheet], chosen, Tally())).decode() == file
