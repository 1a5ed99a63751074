"""Forbidden addresses, which no name can lead to."""

import asyncio
import socket
from collections.abc import Sequence

import aiohttp
import pytest

from services.chassis.networks import parse_networks
from services.delivery.destinations import egress as rules_of
from services.delivery.destinations.egress import (
    Egress,
    Forbidden,
    Rules,
    Unencrypted,
    Unresolved,
    checked_connector,
    refusal,
)

PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101", "2002:101:101::1", "::ffff:1.1.1.1"]
DENIED = [
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.1.1",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "3fff::1",
    "5f00::1",
    "100::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
]


class Names:
    """A lookup that answers from a list, one entry per question; the last entry is repeated."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def listener() -> "Listener":
    return Listener()


class Listener:
    """A real socket on loopback that counts connections."""

    def __init__(self) -> None:
        self.came = 0

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        writer.close()


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert Rules().permits(address)


@pytest.mark.parametrize("address", DENIED)
def test_addresses_outside_the_public_internet_are_denied(address: str) -> None:
    assert not Rules().permits(address)


@pytest.mark.parametrize(
    ("allow", "address", "allowed"),
    [
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("192.168.7.9", "192.168.7.9", True),
        ("192.168.7.9", "192.168.7.10", False),
        ("fd12::/16, 127.0.0.1", "fd12::5", True),
        ("fd12::/16, 127.0.0.1", "127.0.0.1", True),
        ("fd12::/16, 127.0.0.1", "::1", False),
        ("169.254.169.254", "169.254.169.254", True),
        ("", "127.0.0.1", False),
    ],
)
def test_only_the_networks_that_the_operator_allows_are_allowed(allow: str, address: str, allowed: bool) -> None:
    assert Rules(parse_networks(allow)).permits(address) is allowed


@pytest.mark.parametrize("text", ["10.0.0.0/33", "intranet", "10.0.0.0/8;127.0.0.1"])
def test_invalid_networks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|address"):
        parse_networks(text)


@pytest.mark.parametrize("answer", [["1.1.1.1", "127.0.0.1"], ["10.0.0.1", "1.1.1.1"], ["2606:4700::1", "::1"]])
async def test_a_name_with_a_public_and_a_private_address_is_refused(answer: list[str]) -> None:
    with pytest.raises(Forbidden, match="EGRESS_ALLOW"):
        await Egress(Rules(), Names(answer)).addresses("files.example.com", 22)


async def test_a_name_that_is_public_first_and_loopback_second_does_not_get_a_connection(listener: Listener) -> None:
    """DNS rebinding: every connect resolves and checks again, and uses the address that it checked."""
    async with await listener.start() as server:
        names = Names(["1.1.1.1"], ["127.0.0.1"])
        egress = Egress(Rules(), names)
        assert await egress.addresses("rebinding.example.com", port_of(server)) == ["1.1.1.1"]
        with pytest.raises(Forbidden):
            await egress.connect("rebinding.example.com", port_of(server))
        assert names.asked == 2
    assert listener.came == 0


async def test_a_connection_goes_to_the_address_that_was_checked(listener: Listener) -> None:
    async with await listener.start() as server:
        names = Names(["127.0.0.1"], ["127.0.0.99"])
        made = await Egress(Rules(parse_networks("127.0.0.1")), names).connect("files.example.com", port_of(server))
        with made:
            assert made.getpeername() == ("127.0.0.1", port_of(server))
        assert names.asked == 1


async def test_the_next_address_is_tried_when_one_does_not_answer(listener: Listener) -> None:
    async with await listener.start() as server:
        names = Names(["127.0.0.9", "127.0.0.1"])
        egress = Egress(Rules(parse_networks("127.0.0.0/8")), names)
        with await egress.connect("files.example.com", port_of(server)) as made:
            assert made.getpeername()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "localhost", "127.0.0.1"])
async def test_no_way_to_write_loopback_gets_through_the_system_lookup(host: str) -> None:
    with pytest.raises(Forbidden):
        await Egress(Rules()).addresses(host, 80)


async def test_a_name_without_an_address_is_unresolved() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    for found in (lookup, Names([])):
        with pytest.raises(Unresolved, match=r"files\.example\.com has no address"):
            await Egress(Rules(), found).addresses("files.example.com", 22)


async def test_a_lookup_that_hangs_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(3600)
        return []

    monkeypatch.setattr(rules_of, "RESOLVE_SECONDS", 0.05)
    with pytest.raises(Unresolved, match="no answer within"):
        await Egress(Rules(), lookup).addresses("files.example.com", 22)


async def test_without_encryption_only_allowed_networks_are_reached() -> None:
    names = Names(["1.1.1.1"])
    with pytest.raises(Unencrypted, match="use https"):
        await Egress(Rules(), names).unencrypted().addresses("s3.example.com", 80)
    with pytest.raises(Forbidden, match="may not connect"):
        await Egress(Rules()).unencrypted().addresses("10.0.0.1", 80)
    allowed = Egress(Rules(parse_networks("1.1.1.0/24")), names).unencrypted()
    assert await allowed.addresses("s3.example.com", 80) == ["1.1.1.1"]


async def test_errors_contain_no_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Forbidden) as refused:
        await Egress(Rules(), Names(["10.1.2.3"])).connect("files.example.com", 22)
    assert "10.1.2.3" not in str(refused.value)
    with pytest.raises(OSError, match="refused") as failed:
        await Egress(Rules(parse_networks("127.0.0.1")), Names(["127.0.0.1"])).connect("files.example.com", port)
    assert "127.0.0.1" not in str(failed.value)


async def requested(egress: Egress, url: str) -> Forbidden | Unresolved | None:
    """The exception of the rules that ended an HTTP request."""
    async with aiohttp.ClientSession(connector=checked_connector(egress)) as session:
        try:
            async with session.get(url):
                return None
        except (aiohttp.ClientError, Forbidden) as exc:
            return refusal(exc)


async def test_http_to_a_literal_address_is_checked_too(listener: Listener) -> None:
    async with await listener.start() as server:
        found = await requested(Egress(Rules()), f"http://127.0.0.1:{port_of(server)}/")
    assert isinstance(found, Forbidden)
    assert listener.came == 0


async def test_http_to_a_name_that_is_rebound_is_refused_at_the_second_connection(listener: Listener) -> None:
    async with await listener.start() as server:
        egress = Egress(Rules(), Names(["1.1.1.1"], ["127.0.0.1"]))
        await egress.addresses("rebinding.example.com", 80)
        found = await requested(egress, f"http://rebinding.example.com:{port_of(server)}/")
    assert isinstance(found, Forbidden)
    assert listener.came == 0


async def test_http_to_a_name_without_an_address_is_unresolved() -> None:
    assert isinstance(await requested(Egress(Rules(), Names([])), "http://files.example.com/"), Unresolved)


async def test_http_to_an_allowed_address_connects(listener: Listener) -> None:
    async with await listener.start() as server:
        egress = Egress(Rules(parse_networks("127.0.0.0/8")), Names(["127.0.0.1"]))
        assert await requested(egress, f"http://files.example.com:{port_of(server)}/") is None
    assert listener.came  # twice if aiohttp repeats the request after a closed connection
