"""Sessions that are kept between deliveries: used again while they are good, and replaced without an error."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.delivery.destinations.contract import MemoryNotes
from services.delivery.platforms import kept_sessions
from services.delivery.platforms.kept_sessions import KeptSessions
from services.delivery.platforms.targets import Target
from tests.contract.destinations.payloads import File, some
from tests.contract.destinations.rigs import rigs
from tests.contract.destinations.targets import LOOPBACK
from tests.tcp_proxy import TcpProxy

RIGS = {name: found[0] for name, found in rigs().items() if name in ("sftp", "ftp", "s3")}


class Place:
    """A server behind a proxy, and the platform that leads to it."""

    def __init__(self, rig: Any, proxy: TcpProxy) -> None:
        self.rig = rig
        self.proxy = proxy
        destination = rig.destination(20)
        config = destination.Config.model_validate(rig.config(proxy.port))
        self.target = Target("platform", 1, destination, config, LOOPBACK, MemoryNotes())

    @property
    def opened(self) -> float:
        """Sessions of this type that have been opened in this process."""
        labels = {"type": self.target.destination.name}
        return REGISTRY.get_sample_value("delivery_sessions_opened_total", labels) or 0.0

    async def send(self, sessions: KeptSessions, name: str, target: Target | None = None) -> None:
        async with sessions.session(target or self.target) as session:
            await session.send(name, File(some(300), f"delivery of {name}").payload(), replace=True)


@pytest.fixture(scope="module", params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Any]:
    found = RIGS[request.param]
    found.start()
    yield found
    found.stop()


@pytest.fixture
def place(rig: Any) -> Iterator[Place]:
    rig.clear()
    with TcpProxy("127.0.0.1", rig.port) as proxy:
        yield Place(rig, proxy)


async def test_deliveries_one_after_the_other_share_a_session(place: Place) -> None:
    sessions, before = KeptSessions(), place.opened
    for name in ("1.csv", "2.csv", "3.csv"):
        await place.send(sessions, name)
    assert place.opened == before + 1
    assert sorted(place.rig.files()) == ["1.csv", "2.csv", "3.csv"]
    await sessions.close_all()
    await place.send(sessions, "4.csv")
    assert place.opened == before + 2
    await sessions.close_all()


async def test_deliveries_at_the_same_time_have_sessions_of_their_own(place: Place) -> None:
    sessions, before = KeptSessions(), place.opened
    async with sessions.session(place.target) as first, sessions.session(place.target) as second:
        assert first is not second
    assert place.opened == before + 2
    await sessions.close_all()


async def test_a_session_whose_connection_was_lost_is_replaced_without_an_error(place: Place) -> None:
    sessions = KeptSessions()
    await place.send(sessions, "1.csv")
    place.proxy.cut_after(0)
    await place.send(sessions, "2.csv")
    assert sorted(place.rig.files()) == ["1.csv", "2.csv"]
    await sessions.close_all()


async def test_a_changed_platform_has_a_new_session_and_the_old_one_is_closed(place: Place) -> None:
    sessions, before = KeptSessions(), place.opened
    await place.send(sessions, "1.csv")
    await place.send(sessions, "2.csv", replace(place.target, version=2))
    assert place.opened == before + 2
    assert len(sessions._idle) == 1
    await sessions.close("platform")
    assert sessions._idle == []


async def test_a_session_is_not_kept_after_an_error(place: Place) -> None:
    sessions = KeptSessions()
    with pytest.raises(ValueError, match="of the delivery"):
        async with sessions.session(place.target):
            raise ValueError("of the delivery")
    assert sessions._idle == []


async def test_idle_and_old_sessions_are_closed_and_their_number_is_bounded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = KeptSessions()
    monkeypatch.setattr(kept_sessions, "MAX_IDLE", 2)
    for number in range(4):
        await place.send(sessions, "1.csv", replace(place.target, platform_id=f"platform-{number}"))
    assert [kept.target.platform_id for kept in sessions._idle] == ["platform-2", "platform-3"]
    await sessions.close_old()
    assert len(sessions._idle) == 2
    monkeypatch.setattr(kept_sessions, "IDLE_SECONDS", -1.0)
    await sessions.close_old()
    assert sessions._idle == []
    await place.send(sessions, "1.csv")
    before = place.opened
    monkeypatch.setattr(kept_sessions, "MAX_AGE", -1.0)
    await place.send(sessions, "2.csv")
    assert place.opened == before + 1
    await sessions.close_all()
