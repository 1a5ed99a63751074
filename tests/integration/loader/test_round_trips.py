"""Loading an export: the original catalogue does not change, and a new one exports the same bytes."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from loader.entries.entry import Refused
from loader.loading import Load, Watch
from loader.upsert import Outcome
from loader.values.readers import respelled, spelled
from services.exporter.transcode.values import CODEC, leaves, parts, text
from tests.contract.bson_documents import KEYS, TEXTS, VALUES
from tests.integration.loader.loading_commands import Document, exported

JSON: list[tuple[str, dict[str, Any]]] = [("json", {"pretty": True}), ("json", {"json_lines": True})]
CSV: list[tuple[str, dict[str, Any]]] = [
    ("csv", {}),
    ("csv", {"utf8_bom": False, "delimiter": ";"}),
    ("csv", {"delimiter": "\t", "escape_formulas": True}),
]
# Ids as catalogues have them; docs/loading.md lists what a file cannot distinguish.
IDS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True),
    st.lists(st.integers(0, 99).map(lambda number: ObjectId(f"{number:024x}")), unique=True),
    st.lists(st.integers(0, 2000).map(str), unique=True),
    st.lists(st.text("abcé=-|9", min_size=1), unique=True),
)
FIELDS = st.builds(
    lambda fields, sku: {**fields, **sku},
    st.dictionaries(KEYS.filter(lambda key: key not in ("", "_id", "id", "sku", "$ref")), VALUES, max_size=6),
    st.dictionaries(st.just("sku"), TEXTS),
)
examples = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def catalogues(draw: st.DrawFn) -> list[Document]:
    """Products with ids of one form and any fields; some have a field called `id`."""
    ids = draw(IDS)[:8]
    products = [{"_id": id_, **draw(FIELDS)} for id_ in ids]
    if draw(st.booleans()):
        for product in draw(st.lists(st.sampled_from(products), max_size=3)) if products else ():
            product["id"] = draw(TEXTS)
    return products


@pytest.fixture(scope="module")
def client(mongo_uri: str) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](mongo_uri) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def load(client: MongoClient[Document], tenant: str, file: Path) -> tuple[Outcome, list[Refused]]:
    """Load a file into the tenant's products; the outcome and the bad lines."""
    refused: list[Refused] = []
    watch = Watch(lambda step, position: None, refused.append, lambda line, old, new: None, lambda: False)
    work = Load(file, client[f"catalogue_{tenant}"]["products"], watch)
    work.run()
    return work.outcome, refused


def assert_same(again: bytes, content: bytes, products: list[Document], options: dict[str, Any]) -> None:
    """The same bytes, or the same cells by name if a field in or above an object is empty."""
    if options.get("escape_formulas"):  # a negative number or a date after 9999 may become text
        again, content = (re.sub(rb"'(?=[-+])", b"", one) for one in (again, content))
    is_csv = not {"pretty", "json_lines"} & set(options)
    if is_csv and has_empty_fields_in_objects(products):
        delimiter = options.get("delimiter", ",")
        assert by_name(again, delimiter) == by_name(content, delimiter)
    else:
        assert again == content


def has_empty_fields_in_objects(products: list[Document]) -> bool:
    """Whether an empty field is inside an object, or is an object in another product."""
    found = [(name, text(value)) for product in products for name, value in leaves(product)]
    nested = {parts(name)[0] for name, _ in found if len(parts(name)) > 1}
    return any(not shown and parts(name)[0] in nested for name, shown in found)


def by_name(content: bytes, delimiter: str) -> list[dict[str, str]]:
    """The non-empty cells of each row, by column name."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    return [{name: cell for name, cell in row.items() if cell} for row in rows]


def check(client: MongoClient[Document], folder: Path, products: list[Document], name: str, options: Any) -> None:
    # Texts in the form in which spreadsheets write booleans and times become such values.
    shown = [text(value) for product in products for _, value in leaves(product)]
    assume(name != "csv" or all(respelled(cell) is spelled(cell) for cell in shown))
    one, other = "round_trip", "round_trip_again"
    source = client[f"catalogue_{one}"].get_collection("products", codec_options=CODEC)
    for tenant in (one, other):
        client[f"catalogue_{tenant}"]["products"].delete_many({})
    source.insert_many([dict(product) for product in products])
    before = list(source.find_raw_batches())
    file = folder / f"export.{name}"
    content = exported(client, one, name, **options)
    file.write_bytes(content)
    outcome, refused = load(client, one, file)
    assert (refused, outcome.unchanged) == ([], len(products))
    assert list(source.find_raw_batches()) == before
    outcome, refused = load(client, other, file)
    assert (refused, outcome.created) == ([], len(products))
    assert_same(exported(client, other, name, **options), content, products, options)
    outcome, refused = load(client, other, file)
    assert (refused, outcome.unchanged) == ([], len(products))


@pytest.mark.full
@pytest.mark.parametrize(("name", "options"), JSON)
@examples
@given(products=catalogues().filter(bool))
def test_json_that_is_loaded_elsewhere_is_exported_as_the_same_bytes(
    client: MongoClient[Document], folder: Path, products: list[Document], name: str, options: dict[str, Any]
) -> None:
    check(client, folder, products, name, options)


@pytest.mark.full
@pytest.mark.parametrize(("name", "options"), CSV)
@examples
@given(products=catalogues().filter(bool))
def test_csv_that_is_loaded_elsewhere_is_exported_as_the_same_bytes(
    client: MongoClient[Document], folder: Path, products: list[Document], name: str, options: dict[str, Any]
) -> None:
    check(client, folder, products, name, options)
