"""The client's address, directly and behind proxies."""

import pytest

from services.chassis.networks import parse_networks
from services.gateway.auth.addresses import client_address, client_network

TRUSTED = parse_networks("10.0.0.0/8, 192.168.7.4, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1, 203.0.113.9, 192.168.7.4"], "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["unknown"], "10.1.2.3"),
        ("fd00::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2:3:4:5:6"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        (None, ["198.51.100.1"], "None"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(
    peer: str | None, forwarded_for: list[str], address: str
) -> None:
    assert str(client_address(peer, forwarded_for, TRUSTED)) == address


@pytest.mark.parametrize(
    ("peer", "network"),
    [("203.0.113.5", "203.0.113.5"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), (None, "None")],
)
def test_an_ipv6_client_counts_as_its_network(peer: str | None, network: str) -> None:
    assert client_network(client_address(peer, [], TRUSTED)) == network


def test_a_network_that_is_not_one_is_rejected() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        parse_networks("10.0.0.0/8, nowhere")
