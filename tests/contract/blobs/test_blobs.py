"""What every blob store guarantees."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from services.chassis.blobs.contract import CHUNK, BlobError, BlobMissing, BlobStore, StoreUnavailable
from services.chassis.blobs.local import LocalStore
from services.chassis.blobs.s3 import S3Store
from tests.blob_stores import MIB, begin, folder_url, get, listed, new_bucket, new_prefix, opened, put, use_s3
from tests.real_servers import seaweedfs
from tests.system import eventually

KEY = "tenant/job/1/export.csv"
LARGE = random.Random(1).randbytes(20 * MIB + 12_345)
PARTS = LARGE[: 9 * MIB]
"""More than a store keeps in memory."""
SMALL = LARGE[:100_000]
PAGE = 1000
"""Objects in one answer."""


@pytest.fixture(params=["folder", "bucket"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BlobStore]:
    url = folder_url(tmp_path)
    if request.param == "bucket":
        use_s3(monkeypatch, seaweedfs())
        url = new_prefix(seaweedfs())
    async with opened(url) as found:
        yield found


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, len(LARGE)])
async def test_what_was_written_is_read(store: BlobStore, size: int) -> None:
    await put(store, KEY, LARGE[:size])
    assert (await store.stat(KEY)).size == size
    assert await get(store, KEY) == LARGE[:size]
    assert await listed(store) == [KEY]


async def test_one_large_write_equals_many_small_ones(store: BlobStore) -> None:
    writer = await asyncio.to_thread(store.writer, KEY, media_type="text/csv")
    await asyncio.to_thread(writer.write, LARGE)
    await asyncio.to_thread(writer.commit)
    assert await get(store, KEY) == LARGE


async def test_nothing_is_visible_before_the_commit(store: BlobStore) -> None:
    await begin(store, KEY, PARTS)
    with pytest.raises(BlobMissing):
        await store.stat(KEY)
    with pytest.raises(BlobMissing):
        await get(store, KEY)
    assert await listed(store) == [KEY + ".part"]


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, 0),
        (0, 1),
        (0, 100_000),
        (99_999, 1),
        (99_999, 5),
        (100_000, None),
        (100_000, 7),
        (200_000, 1),
        (50_000, None),
    ],
)
async def test_a_range_equals_a_slice(store: BlobStore, start: int, length: int | None) -> None:
    await put(store, KEY, SMALL)
    assert await get(store, KEY, start, length) == SMALL[start:][:length]


@pytest.mark.parametrize("length", [None, 0, 5])
async def test_an_empty_blob_has_no_ranges(store: BlobStore, length: int | None) -> None:
    await put(store, KEY, b"")
    assert await get(store, KEY, 0, length) == b""
    assert await get(store, KEY, 3, length) == b""


@pytest.mark.parametrize(("start", "length"), [(0, None), (5, 3), (0, 0)])
async def test_a_blob_that_does_not_exist_is_missing(store: BlobStore, start: int, length: int | None) -> None:
    await put(store, KEY, SMALL)
    for missing in ("tenant/job/2/export.csv", "tenant/job", f"{KEY}/deeper", "x"):
        with pytest.raises(BlobMissing):
            await store.stat(missing)
        with pytest.raises(BlobMissing):
            await get(store, missing, start, length)


@pytest.mark.parametrize("data", [SMALL, PARTS], ids=["small", "large"])
async def test_an_unfinished_blob_is_started_over(store: BlobStore, data: bytes) -> None:
    await begin(store, KEY, PARTS)
    await put(store, KEY, data)
    assert await get(store, KEY) == data
    assert await listed(store) == [KEY]


async def test_a_finished_blob_is_replaced_at_the_commit(store: BlobStore) -> None:
    await put(store, KEY, SMALL)
    await begin(store, KEY, PARTS)
    assert await get(store, KEY) == SMALL
    await put(store, KEY, b"new")
    assert await get(store, KEY) == b"new"


@pytest.mark.parametrize("data", [b"", SMALL, PARTS], ids=["empty", "small", "large"])
@pytest.mark.parametrize("key", [KEY, "export.csv"])
async def test_an_aborted_blob_leaves_nothing(store: BlobStore, data: bytes, key: str) -> None:
    writer = await asyncio.to_thread(store.writer, key, media_type="text/csv")
    await asyncio.to_thread(writer.write, data)
    await asyncio.to_thread(writer.abort)
    await asyncio.to_thread(writer.abort)
    assert await listed(store) == []
    await put(store, key, SMALL)
    assert await get(store, key) == SMALL


async def test_an_abort_after_the_commit_does_nothing(store: BlobStore) -> None:
    for data in (SMALL, PARTS):
        writer = await asyncio.to_thread(store.writer, KEY, media_type="text/csv")
        await asyncio.to_thread(writer.write, data)
        await asyncio.to_thread(writer.commit)
        await asyncio.to_thread(writer.abort)
        assert await get(store, KEY) == data


async def test_a_closed_writer_accepts_nothing_more(store: BlobStore) -> None:
    committed = await asyncio.to_thread(store.writer, KEY, media_type="text/csv")
    await asyncio.to_thread(committed.commit)
    aborted = await asyncio.to_thread(store.writer, "x", media_type="text/csv")
    await asyncio.to_thread(aborted.abort)
    for writer in (committed, aborted):
        with pytest.raises(ValueError, match="committed or aborted"):
            writer.write(b"x")
        with pytest.raises(ValueError, match="committed or aborted"):
            writer.commit()


async def test_deleting_a_missing_blob_is_no_error(store: BlobStore) -> None:
    await put(store, KEY, SMALL)
    for missing in ("x", "a/b/c", KEY + ".part", "tenant/job", f"{KEY}/deeper"):
        await store.delete(missing)
    assert await listed(store) == [KEY]


async def test_a_blob_and_its_unfinished_successor_are_deleted_separately(store: BlobStore) -> None:
    await put(store, KEY, SMALL)
    await begin(store, KEY, PARTS)
    await begin(store, KEY + "2", PARTS)
    assert await listed(store) == [KEY, KEY + ".part", KEY + "2.part"]
    await store.delete(KEY + ".part")
    assert await listed(store) == [KEY, KEY + "2.part"]
    await store.delete(KEY)
    assert await listed(store) == [KEY + "2.part"]


async def test_a_writer_whose_part_was_deleted_cannot_commit(store: BlobStore) -> None:
    writer = await asyncio.to_thread(store.writer, KEY, media_type="text/csv")
    await asyncio.to_thread(writer.write, PARTS)
    await store.delete(KEY + ".part")
    with pytest.raises(BlobError):
        await asyncio.to_thread(writer.commit)
    await asyncio.to_thread(writer.abort)
    assert await listed(store) == []


async def test_all_keys_are_listed(store: BlobStore) -> None:
    keys = sorted(["a.csv", "a/b.csv", "a/b/c.csv", "a b/ü+%20&.csv", "z/1/2/3/4.zip"])
    for key in keys:
        await put(store, key, key.encode())
    assert await listed(store) == keys
    assert [await get(store, key) for key in keys] == [key.encode() for key in keys]


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "a\\b", "a\0b", "a.part", "..", "a.part.part"],
)
async def test_a_key_that_could_leave_the_store_is_refused(store: BlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="invalid blob key"):
        store.writer(key, media_type="text/csv")
    with pytest.raises(ValueError, match="invalid blob key"):
        await store.stat(key)
    with pytest.raises(ValueError, match="invalid blob key"):
        await get(store, key)
    if key != "a.part":
        with pytest.raises(ValueError, match="invalid blob key"):
            await store.delete(key)


async def test_writers_of_different_keys_do_not_disturb_each_other(store: BlobStore) -> None:
    blobs = {f"tenant/job/{number}/export.csv": LARGE[number * 1000 : (number + 1) * 3 * MIB] for number in range(6)}
    await asyncio.gather(*(put(store, key, data) for key, data in blobs.items()))
    assert {key: await get(store, key) for key in blobs} == blobs


async def test_folders_that_are_created_and_deleted_do_not_disturb_writers(tmp_path: Path) -> None:
    async with opened(folder_url(tmp_path)) as store:

        def write_and_abort(fence: int) -> None:
            for _ in range(400):
                store.writer(f"tenant/job/{fence}/export.csv", media_type="text/csv").abort()

        await asyncio.gather(*(asyncio.to_thread(write_and_abort, fence) for fence in range(4)))
        assert list((tmp_path / "blobs").iterdir()) == []


async def test_a_read_that_stops_early_closes_its_file_or_connection(store: BlobStore) -> None:
    await put(store, KEY, LARGE)

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await get(store, KEY, 0, 1)
    before = open_files()
    for _ in range(5):
        async with aclosing(store.read(KEY)) as chunks:
            assert await anext(chunks)
    await asyncio.to_thread(eventually, "they are closed", lambda: open_files() <= before, 10)


async def test_chunks_are_bounded(store: BlobStore) -> None:
    await put(store, KEY, PARTS)
    assert max([len(chunk) async for chunk in store.read(KEY)]) <= CHUNK


async def test_an_error_of_the_reader_is_not_taken_for_the_stores(store: BlobStore) -> None:
    await put(store, KEY, PARTS)
    chunks = store.read(KEY)
    await anext(chunks)
    with pytest.raises(FileNotFoundError, match="of the reader"):
        await chunks.athrow(FileNotFoundError("of the reader"))


async def test_an_available_store_answers_a_probe(store: BlobStore) -> None:
    await store.probe()


async def test_a_store_reports_its_free_space_or_that_it_has_no_size(store: BlobStore) -> None:
    room = await store.room()
    if isinstance(store, S3Store):
        assert room is None
    else:
        assert room is not None and 0 < room.free <= room.size


async def test_the_free_space_of_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StoreUnavailable):
        await store.room()


async def test_files_that_disappear_are_not_listed(tmp_path: Path) -> None:
    async with opened(folder_url(tmp_path)) as store:
        for key in ("first", "a/b/c", "d/e/f"):
            await put(store, key, b"x")
        keys = store.keys()
        assert await anext(keys) == "first"
        shutil.rmtree(tmp_path / "blobs" / "a")
        assert [key async for key in keys] == ["d/e/f"]


async def test_objects_outside_the_prefix_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, seaweedfs())
    bucket = new_bucket(seaweedfs())
    async with opened(f"s3://{bucket}") as whole, opened(f"s3://{bucket}/exports") as ours:
        await put(whole, "exports2/a", b"theirs")
        await put(whole, "b", b"theirs")
        await begin(whole, "c", PARTS)
        await put(ours, "a", b"ours")
        assert await listed(ours) == ["a"]
        assert await listed(whole) == ["b", "c.part", "exports/a", "exports2/a"]


@pytest.mark.full
async def test_more_objects_than_a_page_holds_are_all_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, seaweedfs())
    async with opened(new_prefix(seaweedfs())) as store:
        keys = [f"k/{number:04}" for number in range(PAGE + 5)]
        for start in range(0, len(keys), 50):
            await asyncio.gather(*(put(store, key, b"") for key in keys[start : start + 50]))
        assert await listed(store) == keys
