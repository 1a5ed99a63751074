"""What every destination promises, shown with real servers: whole files under their final names, whatever breaks."""

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
from tests.contract.destinations.places import Place, watched
from tests.contract.destinations.rigs import Rig, line_to, rigs
from tests.tcp_proxy import TcpProxy

RIGS = [
    pytest.param(rig, id=name if len(found) == 1 else f"{name}-{number}")
    for name, found in rigs().items()
    for number, rig in enumerate(found, 1)
]
NAME = "products.csv"
OLD, NEW = some(2 * MIB, seed=1), some(2 * MIB + 12_345, seed=2)
LARGE = some(4 * MIB, seed=3)
CUTS = 24
DOWN_CUTS = 12


@pytest.fixture(scope="module", params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A running server."""
    found: Rig = request.param
    found.start()
    yield found
    found.stop()


@pytest.fixture
def place(rig: Rig) -> Iterator[Place]:
    """An empty, friendly server, and the way to it."""
    rig.clear()
    with line_to(rig) as line:
        yield Place(rig, line)


def assert_holds(place: Place, **files: bytes) -> None:
    """A reader sees exactly these files, and nothing unfinished lies about."""
    assert_files(place, files)
    assert place.rig.leftovers() == []


def assert_files(place: Place, files: dict[str, bytes]) -> None:
    seen = place.rig.files()
    assert sorted(seen) == sorted(files)
    assert [name for name in files if seen[name] != files[name]] == []


async def failure(place: Place, name: str, file: File) -> DestinationError:
    """How an attempt ends that cannot go well."""
    with pytest.raises(DestinationError) as caught:
        await place.send(name, file)
    return caught.value


async def broken_off(place: Place, name: str, file: File) -> None:
    """An attempt that ends half-way, since its source does."""
    file.broken_at = MIB
    with pytest.raises(SourceBroken):
        await place.send(name, file)
    file.broken_at = None


def test_every_type_of_destination_has_a_rig_and_every_rig_a_type() -> None:
    assert sorted(rigs()) == sorted(destinations())


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_file_arrives_as_it_is(place: Place, size: int) -> None:
    file, seen = File(some(size)), Seen()
    sent = await place.send(NAME, file, seen=seen)
    assert sent.size == size
    assert_holds(place, **{NAME: file.data})
    assert seen.verified == 1
    assert seen.progress == sorted(seen.progress)
    assert seen.progress[-1:] == ([size] if size else seen.progress[-1:])


async def test_a_large_file_from_a_store_arrives_as_it_is(place: Place, tmp_path: Path) -> None:
    file, seen, store = File(some(64 * MIB)), Seen(), LocalStore(tmp_path)
    await put(store, "tenant/job/1/export.csv", file.data)
    payload = file.payload(seen, read=lambda offset: store.read("tenant/job/1/export.csv", offset))
    async with place.session() as session:
        await session.send(NAME, payload, replace=True)
    assert_holds(place, **{NAME: file.data})
    assert seen.progress == sorted(seen.progress)
    assert seen.progress[-1] == 64 * MIB


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
async def test_names_are_kept_to_the_character(place: Place, name: str) -> None:
    file = File(b"id,name\r\n1,shoe\r\n")
    await place.send(name, file)
    assert_holds(place, **{name: file.data})
    async with place.session() as session:
        found = await session.find(name)
        assert found is not None
        assert await session.matches(found, file.payload())
        assert [chunk async for chunk in session.read(name)] == [file.data]


async def test_a_file_that_is_there_is_replaced_when_it_may_be(place: Place) -> None:
    await place.send(NAME, File(OLD, "first"))
    with watched(place.rig, NAME, OLD, NEW):
        await place.send(NAME, File(NEW, "second"))
    assert_holds(place, **{NAME: NEW})


@pytest.mark.parametrize("new", [b"small", NEW], ids=["small", "in parts"])
async def test_a_file_that_is_there_is_left_alone_when_it_may_not_be_replaced(place: Place, new: bytes) -> None:
    await place.send(NAME, File(OLD, "first"))
    file = File(new, "second")
    with watched(place.rig, NAME, OLD), pytest.raises(NameTaken):
        await place.send(NAME, file, replace=False)
    await place.tidy(NAME, file)
    assert_holds(place, **{NAME: OLD})


async def test_a_name_that_is_free_is_taken_without_replacing(place: Place) -> None:
    await place.send("other.csv", File(OLD, "first"))
    await place.send(NAME, File(NEW, "second"), replace=False)
    assert_holds(place, **{NAME: NEW, "other.csv": OLD})


async def test_what_is_there_is_found_compared_read_and_removed(place: Place) -> None:
    file = File(NEW)
    sent = await place.send(NAME, file)
    async with place.session() as session:
        found = await session.find(NAME)
        assert found is not None
        assert (found.remote, found.size) == (sent.remote, len(NEW))
        assert await session.matches(found, file.payload())
        assert not await session.matches(found, File(some(len(NEW), seed=3)).payload())
        assert not await session.matches(found, File(OLD).payload())
        assert b"".join([chunk async for chunk in session.read(NAME)]) == NEW
        await session.remove(NAME)
        await session.remove(NAME)
        assert await session.find(NAME) is None
    assert_holds(place)


async def test_a_file_that_is_not_there_is_not_found_and_cannot_be_read(place: Place) -> None:
    async with place.session() as session:
        assert await session.find(NAME) is None
        with pytest.raises(DestinationError) as caught:
            [chunk async for chunk in session.read(NAME)]
    assert caught.value.step == Step.READ
    assert not caught.value.transient


async def test_a_success_that_was_not_heard_of_is_found_by_the_next_attempt(place: Place) -> None:
    file = File(NEW)
    await place.send(NAME, file)
    with watched(place.rig, NAME, NEW):
        assert (await place.deliver(NAME, file)).size == len(NEW)
    assert_holds(place, **{NAME: NEW})


async def test_wherever_the_connection_is_cut_the_next_attempt_finishes_and_nobody_sees_a_half(place: Place) -> None:
    for number in range(CUTS):
        file = File((OLD, NEW)[number % 2], f"delivery-{number}")
        place.faults.cut_after(1 + number * (len(OLD) - 1) // (CUTS - 1))
        cuts = place.faults.cuts
        with watched(place.rig, NAME, OLD, NEW):
            try:
                await place.send(NAME, file)
            except DestinationError as exc:
                assert exc.transient, exc  # a client that sends again by itself is fine too
            assert place.faults.cuts == cuts + 1
            await place.deliver(NAME, file)
        assert_holds(place, **{NAME: file.data})


async def test_an_upload_that_is_cut_in_every_attempt_comes_to_an_end(place: Place) -> None:
    """No attempt gets more than 60% of the file through, so that only one that keeps what is there can end."""
    file = File(LARGE)
    for _ in range(8):
        place.faults.cut_after(len(LARGE) * 6 // 10)
        try:
            await place.deliver(NAME, file)
            break
        except DestinationError as exc:
            assert exc.transient, exc
            assert_files(place, {})
    assert_holds(place, **{NAME: LARGE})


async def test_wherever_an_answer_is_lost_the_next_attempt_finishes(place: Place) -> None:
    if not isinstance(place.faults, TcpProxy):
        pytest.skip("this rig cuts uploads only")
    before = place.faults.down
    await place.send(NAME, File(OLD, "measured"))
    answers = place.faults.down - before
    for number in range(DOWN_CUTS):
        file = File((NEW, OLD)[number % 2], f"delivery-{number}")
        place.faults.cut_after(1 + number * (answers - 1) // (DOWN_CUTS - 1), "down")
        with watched(place.rig, NAME, OLD, NEW):
            try:
                await place.deliver(NAME, file)
            except DestinationError as exc:
                assert exc.transient, exc  # an attempt that gets through is fine too
            place.faults.heal()
            await place.deliver(NAME, file)
        assert_holds(place, **{NAME: file.data})


async def test_a_delivery_that_gives_up_leaves_nothing(place: Place) -> None:
    file = File(NEW)
    await broken_off(place, NAME, file)
    assert_files(place, {})
    assert place.rig.leftovers() != []
    await place.tidy(NAME, file)
    assert_holds(place)
    await place.tidy(NAME, file)


async def test_what_one_delivery_left_is_not_taken_for_anothers(place: Place) -> None:
    first = File(OLD, "first")
    await broken_off(place, NAME, first)
    await place.send(NAME, File(NEW, "second"))
    assert_files(place, {NAME: NEW})
    await place.deliver(NAME, first)
    assert_holds(place, **{NAME: OLD})


@pytest.mark.parametrize("after", [0, MIB])
async def test_a_server_that_falls_silent_is_a_passing_fault_and_no_hang(place: Place, after: int) -> None:
    file = File(NEW)
    patient, place.destination = place.destination, place.rig.destination(0.5)
    place.faults.stall_after(after)
    with watched(place.rig, NAME, NEW):
        async with asyncio.timeout(15):
            error = await failure(place, NAME, file)
        assert error.transient, error
        place.faults.heal()
        place.destination = patient
        await place.deliver(NAME, file)
    assert_holds(place, **{NAME: NEW})


async def test_an_attempt_that_is_cancelled_is_continued_by_the_next(place: Place) -> None:
    file = File(NEW)
    reached = asyncio.Event()

    async def slow(offset: int) -> AsyncIterator[bytes]:
        async for chunk in file.payload().read(offset):
            yield chunk
            if offset == 0:
                offset = 1
                reached.set()
                await asyncio.sleep(3600)

    async def attempt() -> None:
        async with place.session() as session:
            await session.send(NAME, file.payload(read=slow), replace=True)

    task = asyncio.create_task(attempt())
    async with asyncio.timeout(20):
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    await place.deliver(NAME, file)
    assert_holds(place, **{NAME: NEW})


async def test_a_source_that_breaks_is_not_the_destinations_fault(place: Place) -> None:
    file = File(NEW)
    with watched(place.rig, NAME, NEW):
        await broken_off(place, NAME, file)
        await place.deliver(NAME, file)
    assert_holds(place, **{NAME: NEW})


async def test_a_source_of_other_bytes_than_promised_is_never_shown(place: Place) -> None:
    file = File(NEW)
    other = File(some(len(NEW), seed=9))
    with watched(place.rig, NAME, NEW):
        async with place.session() as session:
            with pytest.raises(DestinationError):
                await session.send(NAME, file.payload(read=other.payload().read), replace=True)
    assert_files(place, {})


async def test_wrong_credentials_are_permanent_and_said_at_authentication(place: Place) -> None:
    config = place.rig.wrong_credentials()
    with pytest.raises(DestinationError) as caught:
        async with place.session(config):
            pass
    assert (caught.value.step, caught.value.transient) == (Step.AUTHENTICATE, False), caught.value
    assert [word for word in secrets(place, config) if word in str(caught.value)] == []
    assert_holds(place)


def secrets(place: Place, config: dict[str, object]) -> list[str]:
    checked = place.destination.Config.model_validate(config)
    values = [getattr(checked, name) for name in type(checked).model_fields]
    found = [value.get_secret_value() for value in values if hasattr(value, "get_secret_value")]
    assert found, "a config without a secret"
    return found


async def test_a_full_destination_shows_nothing_and_takes_the_file_when_there_is_room(place: Place) -> None:
    file = File(NEW)
    place.rig.fill()
    with watched(place.rig, NAME, NEW):
        error = await failure(place, NAME, file)
        assert error.step == Step.WRITE
        place.rig.unfill()
        await place.deliver(NAME, file)
    assert_holds(place, **{NAME: NEW})


async def test_a_server_that_is_not_there_is_a_passing_fault_at_the_connection(place: Place) -> None:
    with pytest.raises(DestinationError) as caught:
        async with place.session(place.rig.config(free_port())):
            pass
    assert (caught.value.step, caught.value.transient) == (Step.CONNECT, True), caught.value


async def test_an_address_that_is_forbidden_is_not_connected_to(place: Place) -> None:
    with TcpProxy("127.0.0.1", place.rig.port) as proxy:
        with pytest.raises(DestinationError) as caught:
            async with place.session(place.rig.config(proxy.port), Egress(Rules())):
                pass
        assert proxy.connections == 0
    error = caught.value
    assert (error.step, error.code, error.transient) == (Step.RESOLVE, "egress_forbidden", False)


async def test_the_address_of_a_config_is_where_it_connects_first(place: Place) -> None:
    checked = place.destination.Config.model_validate(place.rig.config())
    assert place.destination.address(checked) == ("127.0.0.1", place.rig.port)


def test_a_config_refuses_unknown_options(place: Place) -> None:
    with pytest.raises(ValidationError, match="paht"):
        place.destination.Config.model_validate({**place.rig.config(), "paht": "x"})
