"""Which addresses deliveries may connect to: every resolved address is checked against a deny-list, at every connect.

Names are resolved here, and connections go to the address that was checked. A name that resolves differently the second
time (DNS rebinding) therefore gains nothing.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import structlog
from aiohttp import AddrInfoType, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from services.chassis.networks import Network
from services.delivery.destinations.threads import DaemonThreads

log = structlog.get_logger()

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0
LOOKUP_THREADS = 32
MAX_ADDRESSES = 8
"""Addresses of one name that are tried; each may take `CONNECT_SECONDS`."""
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All addresses that IANA allocates for IPv6; the rest is local, or an obsolete form of an IPv4 address."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not global, but not known to `ipaddress` of every Python version: protocol assignments (with Oracle's old metadata
# service), 6to4 relays, the host service of every Azure machine, and documentation.
_DENIED: tuple[Network, ...] = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20"))
)


class Forbidden(Exception):
    """Deliveries may not connect to an address of the host. The address is in the log only: it may be internal."""

    def __init__(self, host: str) -> None:
        super().__init__(f"Deliveries may not connect to {host}; the operator can allow its address with EGRESS_ALLOW.")


class Unencrypted(Forbidden):
    """Deliveries may only connect to the host with encryption."""

    def __init__(self, host: str) -> None:
        Exception.__init__(
            self,
            f"Secrets are not sent to {host} without encryption: use https, or let the operator allow its address with "
            "EGRESS_ALLOW.",
        )


class Unresolved(Exception):
    """The name has no address."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host} has no address: {why}")


@dataclass(frozen=True, slots=True)
class Rules:
    """The networks that are allowed beside the public internet."""

    allow: tuple[Network, ...] = ()

    def permits(self, text: str) -> bool:
        """Whether a connection to this address is allowed."""
        return self.names(text) or _public(_parsed(text))

    def names(self, text: str) -> bool:
        """Whether the operator allows this very address; it may then be used without encryption too."""
        return _within(_parsed(text), self.allow)


def _parsed(text: str) -> Address:
    return _unwrapped(ipaddress.ip_address(text.split("%", 1)[0]))


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not _within(address, _DENIED)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@cache
def _lookup_threads() -> DaemonThreads:
    return DaemonThreads(LOOKUP_THREADS, "lookup")


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """The addresses that the operating system finds, in its order.

    A lookup cannot be cancelled, and a tenant's name server decides how long it takes. It therefore has threads of its
    own, and a lookup that waits longer than `RESOLVE_SECONDS` for one of them is dropped.
    """
    found = await _lookup_threads().run(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Egress:
    """Resolves names and makes connections under the rules.

    Args:
        encrypted: false: only connections to networks that the operator allows.
    """

    def __init__(self, rules: Rules, lookup: Lookup = system_lookup, *, encrypted: bool = True) -> None:
        self._encrypted = encrypted
        self._rules = rules
        self._lookup = lookup

    def unencrypted(self) -> "Egress":
        """The rules for connections without encryption: only networks that the operator allows."""
        return Egress(self._rules, self._lookup, encrypted=False)

    async def addresses(self, host: str, port: int) -> list[str]:
        """The allowed addresses of a host.

        Raises:
            Unresolved: it has none.
            Forbidden: one of its addresses is not allowed.
        """
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._lookup(host, port)
        except TimeoutError as exc:
            raise Unresolved(host, f"no answer within {RESOLVE_SECONDS:g} s") from exc
        except (OSError, UnicodeError) as exc:
            raise Unresolved(host, str(exc)) from exc
        if not found:
            raise Unresolved(host, "no answer")
        for address in found:
            self.check(host, address)
        return list(found)

    def check(self, host: str, address: str) -> None:
        """Raises Forbidden if a connection to this address is not allowed."""
        if not self._rules.permits(address):
            log.warning("egress_refused", action="connect", host=host, address=address)
            raise Forbidden(host)
        if not self._encrypted and not self._rules.names(address):
            raise Unencrypted(host)

    async def connect(self, host: str, port: int, timeout: float = CONNECT_SECONDS) -> socket.socket:
        """A connected, non-blocking socket to the first allowed address that answers.

        Raises:
            Unresolved, Forbidden, OSError, TimeoutError.
        """
        failure: OSError | None = None
        for address in (await self.addresses(host, port))[:MAX_ADDRESSES]:
            try:
                return await self._connected(address, port, timeout)
            except OSError as exc:  # includes TimeoutError
                log.info("connect_failed", action="connect", host=host, address=address, reason=str(exc))
                failure = OSError(exc.errno, os.strerror(exc.errno)) if exc.errno else exc  # asyncio adds the address
        raise failure or OSError(f"{host} has no address")

    async def _connected(self, address: str, port: int, timeout: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made


def checked_connector(egress: Egress, **options: Any) -> TCPConnector:
    """A connector for aiohttp under the rules: names are resolved by `egress`, and each socket's address is checked.

    Addresses that are literals in a URL are not resolved, so the sockets are checked too. A refused request ends with
    an exception of aiohttp's, or another library's; `refusal` finds the reason in it.

    Args:
        options: of `TCPConnector`.
    """

    def made(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        egress.check(str(address[0]), str(address[0]))
        return socket.socket(family, kind, protocol)

    return TCPConnector(resolver=CheckedResolver(egress), use_dns_cache=False, socket_factory=made, **options)


def refusal(exc: BaseException | None) -> Forbidden | Unresolved | None:
    """The exception of the rules or the lookup that ended a request; None if something else did."""
    while exc is not None and not isinstance(exc, (Forbidden, Unresolved)):
        exc = exc.__cause__ or exc.__context__
    return exc


class CheckedResolver(AbstractResolver):
    """aiohttp's view of an `Egress`, for `checked_connector`."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The checked addresses."""
        try:
            found = await self._egress.addresses(host, port)
        except (Unresolved, Forbidden) as exc:
            raise OSError(str(exc)) from exc
        return [_result(host, port, address) for address in found if _fits(address, family)]

    async def close(self) -> None:
        """Nothing to close."""


def _fits(address: str, family: int) -> bool:
    return family in (socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET)


def _result(host: str, port: int, address: str) -> ResolveResult:
    family: Any = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST
    )
