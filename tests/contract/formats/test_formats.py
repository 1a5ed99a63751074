"""The contract of every file format; new modules in services/exporter/formats are included automatically."""

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import bson
import pytest
from pydantic import ValidationError

from services.exporter.catalogue.columns import Selection
from services.exporter.formats import formats
from services.exporter.formats.contract import ExportOptions, Format, Sheet
from services.exporter.transcode import Tally, UnforeseenColumn
from tests.contract.formats import rules
from tests.contract.formats.readers import READERS, read

pytestmark = pytest.mark.usefixtures("every_transcoder")

Documents = Sequence[dict[str, Any]]
TimeZone = Callable[[str], None]

FORMATS = [pytest.param(form, id=name) for name, form in formats().items()]
FLAT = [pytest.param(form, id=name) for name, form in formats().items() if form.flat]
every_format = pytest.mark.parametrize("form", FORMATS)

PRODUCTS: Documents = [
    {
        "_id": f"{n:03}",
        "sku": f"S{n}",
        "attributes": {"color": "black", "size": "XS"},
        **({"late": "x"} if n == 6 else {}),
    }
    for n in range(7)
]


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeZone]:
    """Sets the time zone of the process."""

    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield change
    monkeypatch.undo()
    time.tzset()


def batches(documents: Documents, size: int) -> Iterator[bytes]:
    """Raw batches of documents."""
    for start in range(0, len(documents), size):
        yield b"".join(bson.encode(document) for document in documents[start : start + size])


def sheets(form: Format, documents: Documents, options: ExportOptions, size: int = 3) -> list[Sheet]:
    """Every sheet with the same documents and the complete header."""
    chosen = options.selection
    header = rules.columns(documents, chosen.include, chosen.exclude) or ["id"]
    return [Sheet(name, header, chosen, batches(documents, size)) for name in form.sheets(options)]


def encoded(form: Format, documents: Documents, options: ExportOptions, size: int = 3) -> tuple[bytes, Tally]:
    tally = Tally()
    return b"".join(form.encode(sheets(form, documents, options, size), options, tally)), tally


def expected(documents: Documents, include: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> list[Any]:
    """The records that a reader finds, with names in the order of the header."""
    names = rules.columns(documents, include, exclude)
    return [[(name, found[name]) for name in names if name in found] for found in map(rules.leaves, documents)]


def found(form: Format, file: bytes, options: ExportOptions) -> list[Any]:
    return [list(record.items()) for record in read(form.name, file, options)["products"]]


def test_every_format_has_an_independent_reader() -> None:
    missing = set(formats()) - set(READERS)
    assert not missing, f"add readers of {', '.join(sorted(missing))} to READERS in tests/contract/formats/readers.py"


@every_format
def test_a_format_has_the_name_of_its_module(form: Format) -> None:
    assert type(form).__module__ == f"services.exporter.formats.{form.name}"


@every_format
def test_options_have_defaults_refuse_unknown_keys_and_describe_themselves(form: Format) -> None:
    assert issubclass(form.Options, ExportOptions)
    assert form.Options().selection == Selection()
    with pytest.raises(ValidationError, match="utf8_bomb"):
        form.Options.model_validate({"utf8_bomb": True})
    described = form.Options.model_json_schema()
    assert described["additionalProperties"] is False
    assert all("description" in field for field in described["properties"].values())


@every_format
@pytest.mark.parametrize("name", ["include_fields", "exclude_fields"])
@pytest.mark.parametrize("wrong", [[], [""], ["a", "a"], "a", [1], ["a\\b"], ["a\\"], ["a\\\\\\b"], ["x" * 1025]])
def test_names_of_fields_are_checked(form: Format, name: str, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        form.Options.model_validate({name: wrong})


@every_format
def test_names_of_fields_may_have_escaped_dots_and_backslashes(form: Format) -> None:
    names = ("a\\.b", "a\\\\", "\\\\\\.", "a.b\\\\.c", "\\\\\\\\x")
    assert form.Options.model_validate({"include_fields": names}).include_fields == names


@every_format
def test_fields_are_included_or_excluded_but_not_both(form: Format) -> None:
    with pytest.raises(ValidationError, match="not both"):
        form.Options.model_validate({"include_fields": ["a"], "exclude_fields": ["b"]})


@every_format
def test_a_file_has_an_extension_a_media_type_and_the_products(form: Format) -> None:
    options = form.Options()
    assert form.extension(options).startswith(".")
    assert form.media_type(options).partition("/")[2]
    assert form.media_type(options) in form.media_types
    assert list(form.sheets(options)) == ["products"]


@every_format
@pytest.mark.parametrize("count", [0, 1, 2, len(PRODUCTS)])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_file_has_every_record_for_any_batch_size(form: Format, count: int, size: int) -> None:
    options = form.Options()
    file, tally = encoded(form, PRODUCTS[:count], options, size)
    names = rules.columns(PRODUCTS[:count], None, ())
    if form.flat:
        assert found(form, file, options) == expected(PRODUCTS[:count])
    else:
        assert [dict(record) for record in found(form, file, options)] == [rules.leaves(p) for p in PRODUCTS[:count]]
    assert tally.records == {"products": count}
    assert not form.flat or list(tally.seen["products"]) == names


@every_format
def test_the_same_documents_make_the_same_bytes_in_every_time_zone(form: Format, time_zone: TimeZone) -> None:
    time_zone("Pacific/Auckland")
    first, _ = encoded(form, PRODUCTS, form.Options())
    time_zone("America/Los_Angeles")
    again, _ = encoded(form, PRODUCTS, form.Options())
    assert first == again


@every_format
@pytest.mark.parametrize(
    "include", [["attributes", "id"], ["sku", "nope"], ["attributes.size", "sku", "attributes"], ["late"]]
)
def test_included_fields_have_the_requested_order(form: Format, include: list[str]) -> None:
    options = form.Options(include_fields=tuple(include))
    file, tally = encoded(form, PRODUCTS, options)
    if form.flat:
        assert found(form, file, options) == expected(PRODUCTS, include)
    else:
        chosen = [list(rules.paths(rules.selected(product, include, ())).items()) for product in PRODUCTS]
        assert found(form, file, options) == [[(rules.dotted(path), v) for path, v in leaves] for leaves in chosen]
    assert set(tally.seen["products"]) == set(rules.columns(PRODUCTS, include, ())) - {"nope"}


@every_format
@pytest.mark.parametrize(
    "exclude", [["attributes"], ["id", "attributes.color"], ["attributes.color", "attributes.size", "x"]]
)
def test_an_excluded_parent_excludes_everything_below_it(form: Format, exclude: list[str]) -> None:
    options = form.Options(exclude_fields=tuple(exclude))
    file, _ = encoded(form, PRODUCTS, options)
    assert found(form, file, options) == expected(PRODUCTS, None, exclude)


@pytest.mark.parametrize("form", FLAT)
def test_a_flat_format_refuses_a_row_with_a_column_that_is_not_in_the_header(form: Format) -> None:
    options, tally = form.Options(), Tally()
    header = ["id", "sku", "attributes.color", "attributes.size"]
    sheet = Sheet("products", header, options.selection, batches(PRODUCTS, 3))
    with pytest.raises(UnforeseenColumn) as refused:
        list(form.encode([sheet], options, tally))
    assert (refused.value.sheet, refused.value.name) == ("products", "late")
    assert tally.records == {"products": 6}


@pytest.mark.parametrize("form", FLAT)
def test_a_column_without_values_is_empty(form: Format) -> None:
    options, tally = form.Options(), Tally()
    sheet = Sheet("products", ["id", "ghost"], Selection(("id", "ghost")), batches(PRODUCTS, 3))
    file = b"".join(form.encode([sheet], options, tally))
    assert found(form, file, options) == [[("id", product["_id"])] for product in PRODUCTS]
    assert list(tally.seen["products"]) == ["id"]


@every_format
def test_a_file_is_read_and_written_in_small_chunks(form: Format) -> None:
    noise = random.Random(1)  # does not compress below half
    rows = [{"_id": str(n), "noise": noise.randbytes(15_000).hex()} for n in range(600)]
    pulled = itertools.count()

    def watched() -> Iterator[bytes]:
        for batch in batches(rows, 1):
            next(pulled)
            yield batch

    options, tally = form.Options(), Tally()
    sheet = Sheet("products", ["id", "noise"], options.selection, watched())
    chunks = (chunk for chunk in form.encode([sheet], options, tally) if len(chunk) > 1000)
    next(chunks)
    assert next(pulled) < 300  # the content of packages is made some MiB ahead
    assert 0 < tally.records["products"] < 300
