"""Both implementations give rows the same keys and hashes, and sort and compare them in the same way."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from services.exporter.catalogue.columns import Selection
from services.exporter.transcode import Tally, reference, row_hashes
from services.exporter.transcode.row_hashes import HashedRows, RowHashes, UnusableKey, digest, key_cells
from services.exporter.transcode.siphash import siphash
from tests.contract.transcode.raw_documents import BATCHES
from tests.contract.transcode.test_transcode_equal import headers

compiled = pytest.importorskip("services.exporter.transcode.compiled", reason="the transcoders are not compiled here")
Make = Callable[[ModuleType], Any]
KEYS = st.sampled_from([("id",), ("_id",), ("a",), ("sku", "id"), ("a.b",), ("id.x", "b")])


def outcome(
    implementation: ModuleType,
    hashes: type[RowHashes],
    make: Make,
    keys: Sequence[str],
    *batches: bytes,
    ending: bytes = b"\n",
) -> Any:
    """The rows of each batch; the error ends them."""
    rows = hashes(make(implementation), keys, ending)
    found: list[Any] = []
    try:
        for batch in [*batches, *batches]:
            written = rows.encode(batch)
            found.append(HashedRows(written.text, written.rows, written.entries, list(written.ends)))
    except Exception as exc:
        found.append((type(exc), str(exc)))
    # After an error of a batch, only the error counts: the file is discarded.
    return found


def lines(implementation: ModuleType) -> Any:
    return implementation.JsonObjects("products", Selection(), Tally(), newline=None, ending="\n")


@given(BATCHES, KEYS)
def test_rows_of_any_batch_have_the_same_entries(batches: Sequence[bytes], keys: Sequence[str]) -> None:
    ours = outcome(compiled, compiled.RowHashes, lines, keys, *batches)
    assert ours == outcome(reference, RowHashes, lines, keys, *batches)


@given(st.data())
def test_lines_of_csv_have_the_same_entries(data: st.DataObject) -> None:
    batches = data.draw(BATCHES)
    header = data.draw(headers(batches, Selection()))

    def make(implementation: ModuleType) -> Any:
        return implementation.CsvRows("products", header, Selection(), Tally(), delimiter=",", escape_formulas=False)

    ours = outcome(compiled, compiled.RowHashes, make, ("id",), *batches, ending=b"")
    theirs = outcome(reference, RowHashes, make, ("id",), *batches, ending=b"")
    # Within a batch, either may come first: a row without a key, or one that the header does not fit.
    assert [one for one in ours if isinstance(one, HashedRows)] == [
        one for one in theirs if isinstance(one, HashedRows)
    ]
    assert len(ours) == len(theirs)


def test_an_entry_has_the_hashes_of_the_key_and_of_the_row_and_the_key() -> None:
    document = bson.encode({"_id": ObjectId("65f2f0a0a0a0a0a0a0a0a0a0"), "n": Int64(7), "name": "é"})
    for implementation, hashes in ((compiled, compiled.RowHashes), (reference, RowHashes)):
        written = hashes(lines(implementation), ("id", "n"), b"\n").encode(document)
        key = written.entries[36:]
        assert [cell.text for cell in key_cells(key)] == ["65f2f0a0a0a0a0a0a0a0a0a0", "7"]
        assert [cell.is_number for cell in key_cells(key)] == [False, True]
        assert written.entries[:16] == siphash(key)
        assert written.entries[16:32] == siphash(written.text.removesuffix(b"\n"))
        assert written.ends[-1] == len(written.text)


@pytest.mark.parametrize("value", [None, "", 1.5, True, ["a"], {"b": 1}, b"", "x" * 5_000])
def test_a_key_that_is_no_text_number_or_id_is_refused(value: object) -> None:
    document = bson.encode({"_id": "p1", "sku": value})
    for implementation, hashes in ((compiled, compiled.RowHashes), (reference, RowHashes)):
        with pytest.raises(UnusableKey) as raised:
            hashes(lines(implementation), ("sku",), b"\n").encode(document)
        assert (raised.value.row, raised.value.field) == ("p1", "sku")


@given(st.one_of(st.binary(max_size=700), st.sampled_from([255, 256, 257, 100_000]).map(bytes)))
def test_the_hash_of_any_content_is_the_same(content: bytes) -> None:
    assert compiled.siphash_of(content) == digest(content)


def test_the_hash_has_the_values_of_the_test_vectors_of_siphash() -> None:
    vectors = [
        "a3817f04ba25a8e66df67214c7550293",
        "da87c1d86b99af44347659119b22fc45",
        "8177228da4a45dc7fca38bdef60affe4",
    ]
    assert [digest(bytes(range(size))).hex() for size in range(3)] == vectors


def entries(names: Sequence[int]) -> bytes:
    """Entries with keys made of numbers; the row of a negative number differs from that of the positive one."""
    made = []
    for number in names:
        key = row_hashes.key_of({"sku": abs(number) or 10**6}, [("sku", ["sku"])])
        made.append(digest(key) + digest(str(number).encode()) + len(key).to_bytes(4, "little") + key)
    return b"".join(made)


NUMBERS = st.lists(st.integers(-300, 300), max_size=200)


@given(NUMBERS)
def test_entries_are_sorted_and_split_in_the_same_way(numbers: Sequence[int]) -> None:
    unsorted = entries(numbers)
    ours, theirs = compiled.RowHashes.sorted_entries(unsorted), RowHashes.sorted_entries(unsorted)
    records, keys, repeated = compiled.RowHashes.split(ours)
    assert [records[at : at + 16] for at in range(0, len(records), 32)] == sorted(
        unsorted_key[:16] for unsorted_key in row_hashes._cut(unsorted)
    )
    assert bool(repeated) == (len({abs(n) or 10**6 for n in numbers}) < len(numbers))
    assert compiled.RowHashes.grouped_entries(unsorted) == RowHashes.grouped_entries(unsorted)
    assert compiled.RowHashes.split(theirs) == RowHashes.split(theirs)
    assert len(keys) == len(unsorted) - len(records)


@given(NUMBERS, NUMBERS)
def test_rows_are_compared_in_the_same_way(before: Sequence[int], after: Sequence[int]) -> None:
    known = list({abs(n) or 10**6: n for n in before}.values())
    records, _, _ = RowHashes.split(RowHashes.sorted_entries(entries(known)))
    ours, theirs = bytearray(len(known)), bytearray(len(known))
    found = compiled.RowHashes.sift(memoryview(records), ours, entries(after))
    assert found == RowHashes.sift(memoryview(records), theirs, entries(after))
    assert ours == theirs


def test_damaged_entries_are_refused() -> None:
    for call in (compiled.RowHashes.sorted_entries, compiled.RowHashes.split, compiled.RowHashes.grouped_entries):
        with pytest.raises(ValueError, match="damaged"):
            call(entries([1, 2])[:-1])
