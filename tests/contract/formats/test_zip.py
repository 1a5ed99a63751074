"""The limits of ZIP archives: parts by rows and by size, and archives that need the 64-bit format."""

import io
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bson
import pytest
from isal import isal_zlib

from services.exporter import transcode
from services.exporter.catalogue.columns import Selection
from services.exporter.formats import deflate, formats, package
from services.exporter.formats import zip as zip_format
from services.exporter.formats.contract import Sheet
from services.exporter.formats.deflate import CHUNK_BYTES, ParallelDeflate
from services.exporter.transcode import Tally
from services.exporter.transcode.choice import PLAIN
from tests.contract.formats.readers import zip_tables

pytestmark = pytest.mark.usefixtures("every_transcoder")


def archive(rows: int, options: dict[str, Any], size: int = 1_000) -> bytes:
    chosen = formats()["zip"].Options.model_validate(options)
    stored = [bson.encode({"_id": n}) for n in range(rows)]
    batches = iter([b"".join(stored[at : at + size]) for at in range(0, rows, size)])
    return b"".join(formats()["zip"].encode([Sheet("products", ["id"], Selection(), batches)], chosen, Tally()))


def ids(file: bytes) -> list[list[str]]:
    options = formats()["zip"].Options()
    tables = zip_tables(file, options).values()
    assert all(table[0] == ["id"] for table in tables)
    return [[row[0] for row in table[1:]] for table in tables]


@pytest.mark.parametrize(
    ("expected", "first"), [(None, "0001"), (9_999, "0001"), (10_000, "00001"), (1 << 20, "0000001")]
)
def test_the_names_of_the_parts_are_in_order_also_beyond_9999(expected: int | None, first: str) -> None:
    chosen = formats()["zip"].Options.model_validate({"max_rows_per_file": 1})
    batches = iter([bson.encode({"_id": number}) for number in range(2)])
    sheet = Sheet("products", ["id"], Selection(), batches, expected=expected)
    file = b"".join(formats()["zip"].encode([sheet], chosen, Tally()))
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.namelist()[0] == f"products_{first}.csv"


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001, "5", 1.5, True, None])
def test_rows_of_a_part_are_checked(wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_rows_per_file"):
        formats()["zip"].Options.model_validate({"max_rows_per_file": wrong})


@pytest.mark.parametrize(("rows", "parts"), [(0, [0]), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])])
@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_all_parts_but_the_last_are_full_and_only_an_archive_without_rows_has_an_empty_part(
    rows: int, parts: list[int], size: int
) -> None:
    found = ids(archive(rows, {"max_rows_per_file": 3}, size))
    assert [len(part) for part in found] == parts
    assert [id_ for part in found for id_ in part] == [str(n) for n in range(rows)]


def test_a_part_also_ends_when_it_reaches_its_maximum_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_format, "MAX_PART_BYTES", 1)
    assert ids(archive(5, {}, size=2)) == [["0", "1"], ["2", "3"], ["4"]]


def versions(file: bytes) -> list[int]:
    """The version of each member: 20 for the 32-bit format, 45 for the 64-bit one."""
    with zipfile.ZipFile(io.BytesIO(file)) as found:
        return [info.create_version for info in found.infolist()]


def test_members_beyond_the_count_of_the_32_bit_format_use_the_64_bit_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_ZIP32_MEMBERS", 2)
    file = archive(4, {"max_rows_per_file": 1})
    assert ids(file) == [["0"], ["1"], ["2"], ["3"]]
    assert versions(file) == [20, 20, 45, 45]


@pytest.mark.full
def test_an_archive_may_have_more_parts_than_the_32_bit_format_counts() -> None:
    if transcode.transcoders() is PLAIN:
        pytest.skip("takes a minute, and says nothing about the archive that the compiled ones do not say")
    with zipfile.ZipFile(io.BytesIO(archive(65_600, {"max_rows_per_file": 1}))) as found:
        names = found.namelist()
        assert len(names) == 65_600
        assert (names[0], names[9_999], names[-1]) == ("products_0001.csv", "products_10000.csv", "products_65600.csv")
        assert found.read(names[-1]).endswith(b"\r\n65599\r\n")


def test_members_beyond_the_size_of_the_32_bit_format_use_the_64_bit_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_ZIP32_BYTES", 20)
    file = archive(6, {"max_rows_per_file": 2})
    assert ids(file) == [["0", "1"], ["2", "3"], ["4", "5"]]
    assert versions(file) == [20, 20, 45]


def packaged(content: bytes, pieces: int, threads: int) -> bytes:
    parts = iter([content[at : at + pieces] for at in range(0, len(content), pieces)])
    return b"".join(package.package([package.Member("first", parts), package.Member("second", [content])], threads))


def deflated_by_zlib(chunk: bytes, ending: int) -> bytes:
    """What the order and the cuts of chunks are tested with: unlike isal's, its bytes are the same on every machine."""
    stream = zlib.compressobj(level=1, wbits=-15)
    return stream.compress(chunk) + stream.flush(zlib.Z_FINISH if ending == isal_zlib.Z_FINISH else zlib.Z_FULL_FLUSH)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * CHUNK_BYTES + 5])
def test_the_bytes_are_the_same_for_any_number_of_threads_and_any_pieces(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"".join(b"%d;%d\r\n" % (number, number * 7919 % 10_007) for number in range(size // 6 + 1))[:size]
    with zipfile.ZipFile(io.BytesIO(packaged(content, 70_001, 5))) as archive:
        assert [archive.read(name) for name in ("first", "second")] == [content, content]
    monkeypatch.setattr(deflate, "_deflate", deflated_by_zlib)
    file = packaged(content, 100_000, 1)
    for pieces in (70_001, 1 << 20):
        for threads in (1, 2, 5):
            again = packaged(content, pieces, threads)
            # Where they differ says more than megabytes of both.
            differing = [at for at, (one, other) in enumerate(zip(file, again, strict=False)) if one != other]
            assert (len(again), differing[:20]) == (len(file), []), (pieces, threads)


def test_a_bounded_number_of_chunks_waits_for_the_threads() -> None:
    with ThreadPoolExecutor(1) as pool:
        hold = threading.Event()
        pool.submit(hold.wait)  # keeps the only thread busy
        stream = ParallelDeflate(pool, max_waiting=2)
        content = bytes(3 * CHUNK_BYTES + 1)
        assert stream.compress(content[: 2 * CHUNK_BYTES + 1]) == b""
        taking = threading.Thread(target=stream.compress, args=(content[2 * CHUNK_BYTES + 1 :],))
        taking.start()
        taking.join(0.2)
        assert taking.is_alive()
        hold.set()
        taking.join(60)
        assert not taking.is_alive()


def test_a_package_that_is_closed_early_leaves_no_thread() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield os.urandom(CHUNK_BYTES)

    chunks = package.package([package.Member("a", endless())], threads=2)
    next(chunks)
    chunks.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("export-")]
