"""The address a request comes from, also behind proxies. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from services.chassis.networks import Network

IPV6_PREFIX = 64
"""An IPv6 client has a whole network of this size to itself."""


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> IPv4Address | IPv6Address | None:
    """The client's address; None if the server does not know it.

    Args:
        peer: address of the other end of the connection.
        forwarded_for: values of all X-Forwarded-For headers. Each proxy appends the address it was called from, so
            they are read from the end, as long as the address they came from is trusted.
    """
    address = _parse(peer or "")
    for hop in reversed(",".join(forwarded_for).split(",")):
        if address is None or not any(address in network for network in trusted):
            break
        address = _parse(hop.strip()) or address
    return address


def client_network(address: IPv4Address | IPv6Address | None) -> str:
    """What counts as one client: an address, or for IPv6 its network."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
