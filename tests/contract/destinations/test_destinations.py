"""What every destination guarantees, tested with real servers: whole files under their final names, whatever breaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from deploy.local.servers import free_port
from services.chassis.blobs.local import LocalStore
from services.delivery.destinations import destinations
from services.delivery.destinations.contract import DestinationError, NameTaken, Step
from services.delivery.destinations.egress import Egress, Rules
from tests.blob_stores import put
from tests.contract.destinations.payloads import MIB, File, Seen, SourceBroken, some
from tests.contract.destinations.rigs import Line, Rig, line_to, rigs
from tests.contract.destinations.rigs._rclone import RcloneRig
from tests.contract.destinations.rigs.minio import MinioRig
from tests.contract.destinations.rigs.s3 import RcloneS3Rig
from tests.contract.destinations.targets import Target, watched
from tests.tcp_proxy import TcpProxy

NAMED_RIGS = [
    (name if len(found) == 1 else f"{name}-{number}", rig)
    for name, found in rigs().items()
    for number, rig in enumerate(found, 1)
]
RIGS = [
    pytest.param(rig, id=name, marks=[pytest.mark.full] if isinstance(rig, MinioRig | RcloneRig) else [])
    for name, rig in NAMED_RIGS
]
"""minio differs from s3 only in its config; rclone's servers start again for each test."""
on_every_rig = pytest.mark.parametrize("rig", [pytest.param(rig, id=name) for name, rig in NAMED_RIGS], indirect=True)
"""For the cases that `make test` also runs with minio and rclone's servers."""
FAULT_RIGS = [pytest.param(found[0], id=name) for name, found in rigs().items() if name != "minio"]
"""One rig of each protocol, for the cases with broken connections; the other rigs differ only in their configs."""
NAME = "products.csv"
CUTS = 12
SLOW_CUTS = 5
"""With the larger files of a rig whose parts have a minimum."""
DOWN_CUTS = 6
on_fault_rigs = pytest.mark.parametrize("rig", FAULT_RIGS, indirect=True)


@pytest.fixture(scope="module", params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A running server."""
    found: Rig = request.param
    found.start()
    yield found
    found.stop()


@pytest.fixture
def target(rig: Rig) -> Iterator[Target]:
    """An empty server without faults, and the route to it."""
    rig.clear()
    with line_to(rig) as line:
        yield Target(rig, line)


def assert_holds(target: Target, **files: bytes) -> None:
    """A reader sees exactly these files, and nothing unfinished is left."""
    assert_files(target, files)
    assert target.rig.leftovers() == []


def assert_files(target: Target, files: dict[str, bytes]) -> None:
    seen = target.rig.files()
    assert sorted(seen) == sorted(files)
    assert [name for name in files if seen[name] != files[name]] == []


async def failure(target: Target, name: str, file: File) -> DestinationError:
    """The error of an attempt that must fail."""
    with pytest.raises(DestinationError) as caught:
        await target.send(name, file)
    return caught.value


async def interrupted(target: Target, name: str, file: File) -> None:
    """An attempt that ends half-way because its source fails."""
    file.broken_at = target.broken_at
    with pytest.raises(SourceBroken):
        await target.send(name, file)
    file.broken_at = None


def test_every_type_of_destination_has_a_rig_and_every_rig_a_type() -> None:
    assert sorted(rigs()) == sorted(destinations())


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_file_arrives_unchanged(target: Target, size: int) -> None:
    file, seen = File(some(size)), Seen()
    sent = await target.send(NAME, file, seen=seen)
    assert sent.size == size
    assert_holds(target, **{NAME: file.data})
    assert seen.verified == 1
    assert seen.progress == sorted(seen.progress)
    assert (seen.progress or [0])[-1] == size


async def test_a_large_file_from_a_store_arrives_unchanged(target: Target, tmp_path: Path) -> None:
    file, seen, store = File(some(8 * MIB)), Seen(), LocalStore(tmp_path)
    await put(store, "tenant/job/1/export.csv", file.data)
    payload = file.payload(seen, read=lambda offset: store.read("tenant/job/1/export.csv", offset))
    async with target.session() as session:
        await session.send(NAME, payload, replace=True)
    assert_holds(target, **{NAME: file.data})
    assert seen.progress == sorted(seen.progress)
    assert seen.progress[-1] == 8 * MIB


@pytest.mark.parametrize(
    "name",
    [
        "spring catalogue 2026.csv",
        "Größen & Maße – Übersicht.xlsx",
        "カタログ.json",
        "🛍️ sale 100%.zip",
        "it's #1 (new)+a=b~c.csv",
        "-rf.csv",
        "products",
    ],
)
async def test_file_names_are_kept_exactly(target: Target, name: str) -> None:
    file = File(b"id,name\r\n1,shoe\r\n")
    await target.send(name, file)
    assert_holds(target, **{name: file.data})
    async with target.session() as session:
        found = await session.find(name)
        assert found is not None
        assert await session.matches(found, file.payload())
        assert [chunk async for chunk in session.read(name)] == [file.data]


@on_every_rig
async def test_an_existing_file_is_replaced_if_that_is_allowed(target: Target) -> None:
    await target.send(NAME, File(target.old, "first"))
    with watched(target.rig, NAME, target.old, target.new):
        await target.send(NAME, File(target.new, "second"))
    assert_holds(target, **{NAME: target.new})


@pytest.mark.parametrize("small", [True, False], ids=["small", "in parts"])
async def test_an_existing_file_is_kept_if_it_may_not_be_replaced(target: Target, *, small: bool) -> None:
    await target.send(NAME, File(target.old, "first"))
    file = File(b"small" if small else target.new, "second")
    with watched(target.rig, NAME, target.old), pytest.raises(NameTaken):
        await target.send(NAME, file, replace=False)
    await target.tidy(NAME, file)
    assert_holds(target, **{NAME: target.old})


async def test_a_free_name_can_be_used_without_replacing(target: Target) -> None:
    await target.send("other.csv", File(target.old, "first"))
    await target.send(NAME, File(target.new, "second"), replace=False)
    assert_holds(target, **{NAME: target.new, "other.csv": target.old})


@on_every_rig
async def test_a_file_is_found_compared_read_and_removed(target: Target) -> None:
    file = File(target.new)
    sent = await target.send(NAME, file)
    async with target.session() as session:
        found = await session.find(NAME)
        assert found is not None
        assert (found.remote, found.size) == (sent.remote, len(target.new))
        assert await session.matches(found, file.payload())
        assert not await session.matches(found, File(some(len(target.new), seed=3)).payload())
        assert not await session.matches(found, File(target.old).payload())
        assert b"".join([chunk async for chunk in session.read(NAME)]) == target.new
        await session.remove(NAME)
        await session.remove(NAME)
        assert await session.find(NAME) is None
    assert_holds(target)


@on_every_rig
async def test_a_missing_file_is_not_found_and_cannot_be_read(target: Target) -> None:
    async with target.session() as session:
        assert await session.find(NAME) is None
        with pytest.raises(DestinationError) as caught:
            [chunk async for chunk in session.read(NAME)]
    assert caught.value.step == Step.READ
    assert not caught.value.transient


async def test_a_success_whose_answer_was_lost_is_found_by_the_next_attempt(target: Target) -> None:
    file = File(target.new)
    await target.send(NAME, file)
    with watched(target.rig, NAME, target.new):
        assert (await target.deliver(NAME, file)).size == len(target.new)
    assert_holds(target, **{NAME: target.new})


@on_fault_rigs
async def test_after_a_cut_anywhere_the_next_attempt_finishes_and_no_reader_sees_a_partial_file(target: Target) -> None:
    count = CUTS if target.rig.scale == 1 else SLOW_CUTS
    for number in range(count):
        file = File((target.old, target.new)[number % 2], f"delivery-{number}")
        target.faults.cut_after(1 + number * (len(target.old) - 1) // (count - 1))
        cuts = target.faults.cuts
        with watched(target.rig, NAME, target.old, target.new):
            try:
                await target.send(NAME, file)
            except DestinationError as exc:
                assert exc.transient, exc  # a client that retries by itself is fine too
            assert target.faults.cuts == cuts + 1
            await target.deliver(NAME, file)
        assert_holds(target, **{NAME: file.data})


@on_fault_rigs
async def test_an_upload_that_is_cut_in_every_attempt_finishes(target: Target) -> None:
    """No attempt can send more than 60 % of the file, so only resumed uploads finish.

    An attempt may make no progress: a reset drops what the server has received but not read yet.
    """
    file = File(target.large)
    for _ in range(30):
        target.faults.cut_after(len(target.large) * 6 // 10)
        try:
            await target.deliver(NAME, file)
            break
        except DestinationError as exc:
            assert exc.transient, exc
            assert_files(target, {})
    assert_holds(target, **{NAME: target.large})


@on_fault_rigs
async def test_after_an_answer_is_lost_anywhere_the_next_attempt_finishes(rig: Rig) -> None:
    rig.clear()
    with TcpProxy("127.0.0.1", rig.port) as proxy:
        target = Target(rig, Line(rig.config(proxy.port), proxy))
        await target.send(NAME, File(target.old, "measured"))
        answers = proxy.down
        for number in range(DOWN_CUTS):
            file = File((target.new, target.old)[number % 2], f"delivery-{number}")
            proxy.cut_after(1 + number * (answers - 1) // (DOWN_CUTS - 1), "down")
            with watched(rig, NAME, target.old, target.new):
                try:
                    await target.deliver(NAME, file)
                except DestinationError as exc:
                    assert exc.transient, exc  # an attempt may also succeed
                proxy.heal()
                await target.deliver(NAME, file)
            assert_holds(target, **{NAME: file.data})
        assert proxy.cuts > DOWN_CUTS // 2


async def test_a_delivery_that_gives_up_leaves_nothing(target: Target) -> None:
    if isinstance(target.rig, RcloneRig):
        pytest.skip("rclone's servers show an open upload late or not at all")
    file = File(target.new)
    await interrupted(target, NAME, file)
    assert_files(target, {})
    assert target.rig.leftovers() != []
    await target.tidy(NAME, file)
    assert_holds(target)
    await target.tidy(NAME, file)


@pytest.mark.full
@on_every_rig
async def test_the_part_of_one_delivery_is_not_used_by_another(target: Target) -> None:
    first = File(target.old, "first")
    await interrupted(target, NAME, first)
    await target.send(NAME, File(target.new, "second"))
    assert_files(target, {NAME: target.new})
    await target.deliver(NAME, first)
    assert_holds(target, **{NAME: target.old})


@on_fault_rigs
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in the middle"])
async def test_a_server_that_stops_answering_is_a_transient_fault_and_no_hang(target: Target, *, at_once: bool) -> None:
    file = File(target.new)
    usual, target.destination = target.destination, target.rig.destination(0.3)
    target.faults.stall_after(0 if at_once else len(target.old) // 2)
    with watched(target.rig, NAME, target.new):
        async with asyncio.timeout(15):
            error = await failure(target, NAME, file)
        assert error.transient, error
        target.faults.heal()
        target.destination = usual
        await target.deliver(NAME, file)
    assert_holds(target, **{NAME: target.new})


async def test_an_attempt_that_is_cancelled_is_continued_by_the_next(target: Target) -> None:
    file = File(target.new)
    reached = asyncio.Event()

    async def slow(offset: int) -> AsyncIterator[bytes]:
        async for chunk in file.payload().read(offset):
            yield chunk
            if offset == 0:
                offset = 1
                reached.set()
                await asyncio.sleep(3600)

    async def attempt() -> None:
        async with target.session() as session:
            await session.send(NAME, file.payload(read=slow), replace=True)

    task = asyncio.create_task(attempt())
    async with asyncio.timeout(20):
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    try:
        await target.deliver(NAME, file)
    except DestinationError as exc:  # the server was still taking in what the cancelled attempt had sent
        assert exc.transient, exc
        await target.deliver(NAME, file)
    assert_holds(target, **{NAME: target.new})


async def test_a_failing_source_is_not_the_destinations_fault(target: Target) -> None:
    file = File(target.new)
    with watched(target.rig, NAME, target.new):
        await interrupted(target, NAME, file)
        await target.deliver(NAME, file)
    assert_holds(target, **{NAME: target.new})


async def test_a_source_of_other_bytes_than_the_payload_is_never_shown(target: Target) -> None:
    file = File(target.new)
    other = File(some(len(target.new), seed=9))
    with watched(target.rig, NAME, target.new):
        async with target.session() as session:
            with pytest.raises(DestinationError):
                await session.send(NAME, file.payload(read=other.payload().read), replace=True)
    assert_files(target, {})


async def test_wrong_credentials_are_a_permanent_fault_at_authentication(target: Target) -> None:
    config = target.rig.wrong_credentials()
    with pytest.raises(DestinationError) as caught:
        async with target.session(config):
            pass
    assert (caught.value.step, caught.value.transient) == (Step.AUTHENTICATE, False), caught.value
    assert [word for word in secrets(target, config) if word in str(caught.value)] == []
    assert_holds(target)


def secrets(target: Target, config: dict[str, object]) -> list[str]:
    checked = target.destination.Config.model_validate(config)
    values = [getattr(checked, name) for name in type(checked).model_fields]
    found = [value.get_secret_value() for value in values if hasattr(value, "get_secret_value")]
    assert found, "a config without a secret"
    return found


@pytest.mark.full
async def test_a_full_destination_shows_nothing_and_accepts_the_file_when_there_is_space(target: Target) -> None:
    if isinstance(target.rig, RcloneS3Rig):
        pytest.skip("an upload of rclone's server never recovers from a full disk")
    file = File(target.new)
    target.rig.fill()
    with watched(target.rig, NAME, target.new):
        error = await failure(target, NAME, file)
        assert error.step == Step.WRITE
        target.rig.unfill()
        await target.deliver(NAME, file)
    assert_holds(target, **{NAME: target.new})


async def test_an_unreachable_server_is_a_transient_fault_at_the_connection(target: Target) -> None:
    with pytest.raises(DestinationError) as caught:
        async with target.session(target.rig.config(free_port())):
            pass
    assert (caught.value.step, caught.value.transient) == (Step.CONNECT, True), caught.value


async def test_a_forbidden_address_is_not_connected_to(target: Target) -> None:
    with TcpProxy("127.0.0.1", target.rig.port) as proxy:
        with pytest.raises(DestinationError) as caught:
            async with target.session(target.rig.config(proxy.port), Egress(Rules())):
                pass
        assert proxy.connections == 0
    error = caught.value
    assert (error.step, error.code, error.transient) == (Step.RESOLVE, "egress_forbidden", False)


async def test_the_address_of_a_config_is_that_of_the_first_connection(target: Target) -> None:
    checked = target.destination.Config.model_validate(target.rig.config())
    assert target.destination.address(checked) == ("127.0.0.1", target.rig.port)


def test_a_config_refuses_unknown_options(target: Target) -> None:
    with pytest.raises(ValidationError, match="paht"):
        target.destination.Config.model_validate({**target.rig.config(), "paht": "x"})
