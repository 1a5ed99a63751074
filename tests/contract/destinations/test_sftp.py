"""SFTP uploads: resumed parts, renames, servers with fewer features."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace as changed

import pytest
from asyncssh.constants import FXF_READ, FXF_WRITE

from services.delivery.destinations.contract import DestinationError, NameTaken
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.contract.destinations.sftp_trial import Source, session
from tests.tcp_proxy import TcpProxy

MIB = 1024 * 1024
NAME = "Katalog für 🚲.csv"


@pytest.fixture(scope="module")
def server() -> Iterator[SftpRig]:
    rig = SftpRig()
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
def rig(server: SftpRig) -> SftpRig:
    server.clear()
    return server


@pytest.fixture
def proxy(rig: SftpRig) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", rig.port) as running:
        yield running


def part(rig: SftpRig, source: Source, data: bytes) -> None:
    """What an earlier attempt left."""
    rig.folder.mkdir(parents=True, exist_ok=True)
    (rig.folder / f".{source.id}.part").write_bytes(data)


async def send(rig: SftpRig, source: Source, *, replace: bool = True, **change: object) -> None:
    async with session({**rig.config(), **change}) as opened:
        await opened.send(NAME, source.payload(), replace=replace)


async def failure(rig: SftpRig, source: Source, *, replace: bool = True, **change: object) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        await send(rig, source, replace=replace, **change)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 5 * MIB + 17])
async def test_what_arrives_is_what_was_sent_and_nothing_is_left(rig: SftpRig, size: int) -> None:
    source = Source(os.urandom(size))
    async with session(rig.config()) as opened:
        sent = await opened.send(NAME, source.payload(), replace=True)
        assert await opened.find(NAME) == sent
        assert b"".join([piece async for piece in opened.read(NAME)]) == source.data
        assert await opened.matches(sent, source.payload())
    assert rig.files() == {NAME: source.data}
    assert rig.leftovers() == []
    assert (sent.size, source.verified) == (size, 1)
    assert source.reported == sorted(source.reported)
    assert source.reported[-1:] == ([size] if size else [])


async def test_a_cut_upload_resumes_after_the_bytes_that_arrived(rig: SftpRig, proxy: TcpProxy) -> None:
    source = Source(os.urandom(6 * MIB))
    proxy.cut_after(3 * MIB)
    error = await failure(rig, source, port=proxy.port)
    assert (error.code, error.transient, error.step) == ("connection_lost", True, "write")
    assert rig.files() == {}
    there = (rig.folder / rig.leftovers()[0]).stat().st_size
    assert 0 < there < len(source.data)

    before = proxy.up
    source.offsets.clear()
    await send(rig, source, port=proxy.port)
    compared, continued = source.offsets
    assert compared == 0
    assert continued >= there  # the server may still have been writing what it had received
    assert proxy.up - before < len(source.data) - there + 512 * 1024
    assert rig.files() == {NAME: source.data}
    assert rig.leftovers() == []


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_after_cuts_at_many_offsets_the_file_arrives_and_no_partial_file_is_shown(
    rig: SftpRig, proxy: TcpProxy, direction: str
) -> None:
    source = Source(os.urandom(MIB))
    cuts = range(500, 1_100_000, 90_001) if direction == "up" else range(500, 1_100_000, 150_001)
    for place in cuts:
        proxy.cut_after(place, "up" if direction == "up" else "down")
        try:
            await send(rig, source, port=proxy.port)
        except DestinationError as exc:
            assert exc.transient, exc
        assert rig.files() in ({}, {NAME: source.data})
    proxy.heal()
    await send(rig, source, port=proxy.port)
    assert proxy.cuts > 5
    assert rig.files() == {NAME: source.data}
    assert rig.leftovers() == []


@pytest.mark.parametrize(
    ("there", "continued"),
    [
        (lambda data: data[: 2 * MIB], 2 * MIB),
        (lambda data: data, 3 * MIB),
        (lambda data: data[:MIB] + bytes(MIB) + data[2 * MIB :], MIB),
        (lambda data: bytes(len(data)), 0),
        (lambda data: data + b"more", 0),
    ],
    ids=["the beginning", "all of it", "a hole", "zeros", "too much"],
)
async def test_only_correct_bytes_of_a_part_are_kept(
    rig: SftpRig, there: Callable[[bytes], bytes], continued: int
) -> None:
    source = Source(os.urandom(3 * MIB))
    part(rig, source, there(source.data))
    await send(rig, source)
    assert source.offsets[-1] == continued
    assert rig.files() == {NAME: source.data}
    assert rig.leftovers() == []


async def test_a_file_that_was_changed_in_transit_is_not_shown(rig: SftpRig) -> None:
    source = Source(os.urandom(MIB), sha256="0" * 64)
    error = await failure(rig, source)
    assert (error.code, error.transient) == ("content_mismatch", True)
    assert rig.files() == {}
    async with session(rig.config()) as opened:
        await opened.tidy(NAME, source.payload())
    assert rig.leftovers() == []


async def test_a_server_that_forbids_reading_works_with_verify_size(rig: SftpRig) -> None:
    rig.denied = FXF_READ
    source = Source(os.urandom(MIB))
    error = await failure(rig, source)
    assert (error.code, error.transient, error.step) == ("permission_denied", False, "read")
    await send(rig, source, verify="size")
    assert rig.files() == {NAME: source.data}
    async with session(rig.config()) as opened:
        found = await opened.find(NAME)
        assert found is not None
        assert not await opened.matches(found, source.payload())


async def test_a_file_of_the_same_size_is_not_taken_for_the_payload(rig: SftpRig) -> None:
    rig.folder.mkdir(parents=True)
    (rig.folder / NAME).write_bytes(b"yesterday's")
    async with session({**rig.config(), "verify": "size"}) as opened:
        found = await opened.find(NAME)
        assert found is not None
        assert not await opened.matches(found, Source(b"today's own").payload())


async def test_a_name_that_is_taken_stays_as_it_is(rig: SftpRig) -> None:
    await send(rig, Source(b"first"), replace=False)
    second = Source(b"second")
    assert isinstance(await failure(rig, second, replace=False), NameTaken)
    assert second.offsets == []
    assert rig.files() == {NAME: b"first"}


async def test_a_name_that_is_taken_during_the_upload_stays_as_it_is(rig: SftpRig) -> None:
    def taken() -> None:
        (rig.folder / NAME).write_bytes(b"first")

    payload = changed(Source(b"second").payload(), verifying=taken)
    async with session(rig.config()) as opened:
        with pytest.raises(NameTaken):
            await opened.send(NAME, payload, replace=False)
        assert rig.files() == {NAME: b"first"}
        await opened.tidy(NAME, payload)
    assert rig.leftovers() == []


async def test_without_posix_rename_the_old_file_is_set_aside(rig: SftpRig) -> None:
    rig.replaces = False
    await send(rig, Source(b"first"))
    second = Source(b"second")
    await send(rig, second)
    assert rig.files() == {NAME: b"second"}
    assert rig.leftovers() == []


async def test_after_an_interrupted_replacement_the_old_file_is_put_back(rig: SftpRig) -> None:
    source = Source(b"second")
    rig.folder.mkdir(parents=True)
    (rig.folder / f".{source.id}.old").write_bytes(b"first")
    part(rig, source, b"second")
    async with session(rig.config()) as opened:
        await opened.tidy(NAME, source.payload())
    assert rig.files() == {NAME: b"first"}
    assert rig.leftovers() == []


async def test_an_interrupted_replacement_is_finished_by_the_next_attempt(rig: SftpRig) -> None:
    rig.replaces = False
    source = Source(b"second")
    rig.folder.mkdir(parents=True)
    (rig.folder / f".{source.id}.old").write_bytes(b"first")
    part(rig, source, b"second")
    await send(rig, source)
    assert rig.files() == {NAME: b"second"}
    assert rig.leftovers() == []


async def test_a_full_disk_is_a_transient_error_and_the_upload_resumes_afterwards(rig: SftpRig) -> None:
    source = Source(os.urandom(MIB))
    rig.fill()
    error = await failure(rig, source)
    assert (error.code, error.transient) == ("no_space", True)
    rig.unfill()
    await send(rig, source)
    assert rig.files() == {NAME: source.data}


async def test_a_folder_without_write_permission_is_a_permanent_error(rig: SftpRig) -> None:
    rig.denied = FXF_WRITE
    error = await failure(rig, Source(b"x"))
    assert (error.code, error.transient, error.step) == ("permission_denied", False, "write")


async def test_a_file_in_place_of_a_folder_is_reported(rig: SftpRig) -> None:
    (rig.root / "exports").write_bytes(b"")
    error = await failure(rig, Source(b"x"))
    (rig.root / "exports").unlink()
    assert (error.code, error.transient) == ("not_a_folder", False)


async def test_a_folder_in_place_of_the_file_is_reported(rig: SftpRig) -> None:
    (rig.folder / NAME).mkdir(parents=True)
    error = await failure(rig, Source(b"x"))
    assert (error.code, error.transient) == ("not_a_file", False)


async def test_a_name_that_is_too_long_is_reported(rig: SftpRig) -> None:
    async with session(rig.config()) as opened:
        with pytest.raises(DestinationError) as caught:
            await opened.send("n" * 300, Source(b"x").payload(), replace=True)
    assert (caught.value.code, caught.value.transient) == ("bad_name", False)


@pytest.mark.parametrize("path", ["/absolute/a b", "relative/ä", ".", "", "with/end/"])
async def test_folders_are_created_and_may_be_relative_or_absolute(rig: SftpRig, path: str) -> None:
    await send(rig, Source(b"x"), path=path)
    there = rig.root / path.strip("/") / NAME
    assert there.read_bytes() == b"x"
    there.unlink()


async def test_a_server_that_stalls_is_a_transient_error_in_time(rig: SftpRig, proxy: TcpProxy) -> None:
    proxy.stall_after(MIB)
    with pytest.raises(DestinationError) as caught:
        async with asyncio.timeout(15), session({**rig.config(), "port": proxy.port}, silence=1.0) as opened:
            await opened.send(NAME, Source(os.urandom(8 * MIB)).payload(), replace=True)
    assert caught.value.transient
    assert caught.value.code in {"stalled", "connection_lost"}


async def test_a_server_without_fsync_is_supported(rig: SftpRig) -> None:
    rig.syncs = False
    await send(rig, Source(b"x"))
    assert rig.files() == {NAME: b"x"}


async def test_errors_of_the_source_are_not_translated(rig: SftpRig) -> None:
    async def broken(offset: int) -> AsyncIterator[bytes]:
        yield b"some"
        raise TimeoutError("the store is away")

    async with session(rig.config()) as opened:
        with pytest.raises(TimeoutError, match="the store is away"):
            await opened.send(NAME, changed(Source(b"some more").payload(), read=broken), replace=True)
        assert await opened.find(NAME) is None


async def test_removing_is_idempotent_and_a_missing_file_is_not_found(rig: SftpRig) -> None:
    await send(rig, Source(b"x"))
    async with session(rig.config()) as opened:
        await opened.remove(NAME)
        await opened.remove(NAME)
        assert await opened.find(NAME) is None
        with pytest.raises(DestinationError) as caught:
            [piece async for piece in opened.read(NAME)]
    assert caught.value.code == "no_such_file"


async def test_a_reader_never_sees_anything_but_whole_files(rig: SftpRig) -> None:
    wholes = [os.urandom(2 * MIB) for _ in range(4)]
    seen: set[bytes] = set()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.add((await asyncio.to_thread(rig.files)).get(NAME, b""))

    watching = asyncio.create_task(watch())
    for whole in wholes:
        await send(rig, Source(whole))
    done.set()
    await watching
    assert seen - {b""} <= set(wholes)
    assert len(seen) > 1
