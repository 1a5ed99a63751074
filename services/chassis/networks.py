"""Lists of networks in settings, such as `10.0.0.0/8, 192.168.7.4`. Pure."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks and addresses of a comma-separated list.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _check(text: str) -> str:
    parse_networks(text)
    return text


Networks = Annotated[str, AfterValidator(_check)]
"""The type of a setting that `parse_networks` reads."""
