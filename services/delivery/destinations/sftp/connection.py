"""An SSH connection to a host whose key is pinned; nothing of this machine's own SSH configuration is used.

A host often has several keys and shows the one whose algorithm the client prefers. A pinned key is therefore requested
by its own algorithm. For a bare fingerprint all algorithms are tried before the host is rejected, and the key that
matches is remembered.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh

from services.delivery.destinations.contract import DestinationError, Notes, Step
from services.delivery.destinations.egress import Egress, Forbidden, Unresolved
from services.delivery.destinations.kit.error_rules import egress_error, printable
from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.sftp.keys import HostPin, host_pin

NOTE = "host_key"
FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    # SHA-1 last: only for servers that support nothing else.
    ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
)
"""Algorithms of host keys. Without certificates, since a certificate is not the key that was pinned."""
ALL = tuple(algorithm for family in FAMILIES for algorithm in family)


@dataclass(frozen=True, slots=True)
class Login:
    """The server and the user's credentials."""

    host: str
    port: int
    username: str
    password: str | None
    key: asyncssh.SSHKey | None

    pin: HostPin | None
    """None: trust the first key that is seen."""

    @property
    def address(self) -> str:
        """Host and port as known_hosts writes them."""
        return f"[{self.host}]:{self.port}"


class _Client(asyncssh.SSHClient):
    """Checks the host's key at every key exchange, and offers the private key once; uses no agent and no file."""

    def __init__(self, pin: HostPin | None, key: asyncssh.SSHKey | None) -> None:
        self._pin = pin
        self._key = key
        self.connected = False
        self.seen: asyncssh.SSHKey | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:  # noqa: ARG002 asyncssh's signature
        self.connected = True

    def validate_host_public_key(
        self,
        host: str,  # noqa: ARG002 asyncssh's signature
        addr: str,  # noqa: ARG002
        port: int,  # noqa: ARG002
        key: asyncssh.SSHKey,
    ) -> bool:
        self.seen = self.seen or key
        return self._pin.fits(key) if self._pin else key == self.seen

    def public_key_auth_requested(self) -> list[asyncssh.SSHKey] | None:
        offered, self._key = self._key, None
        return [offered] if offered else None


@asynccontextmanager
async def connected(
    login: Login, egress: Egress, pins: Notes, timeouts: Timeouts
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An authenticated connection; the host's key is then kept in `pins`.

    Raises:
        DestinationError: at the steps resolve, connect or authenticate.
    """
    connection = await _trusted(login, egress, _pin(login, pins), timeouts)
    try:
        await _keep(connection, login, pins)
        yield connection
    except BaseException:
        connection.abort()
        raise
    connection.close()
    try:
        async with asyncio.timeout(timeouts.silence):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()


async def _trusted(
    login: Login, egress: Egress, pin: HostPin | None, timeouts: Timeouts
) -> asyncssh.SSHClientConnection:
    shown: list[str] = []
    for algorithms in _offers(pin):
        client = _Client(pin, login.key)
        try:
            return await _authenticated(login, client, algorithms, egress, timeouts)
        except asyncssh.HostKeyNotVerifiable:
            shown.append(client.seen.get_fingerprint() if client.seen else "an unreadable key")
    raise _changed(login, pin.fingerprint if pin else "the first one seen", shown)


def _pin(login: Login, pins: Notes) -> HostPin | None:
    """The config's key, else the one kept for this host, which also completes a bare fingerprint."""
    address, _, key = (pins.get(NOTE) or "").partition(" ")
    kept = host_pin(key) if address == login.address else None
    if login.pin and not (kept and kept.fingerprint == login.pin.fingerprint):
        return login.pin
    return kept


async def _keep(connection: asyncssh.SSHClientConnection, login: Login, pins: Notes) -> None:
    key = connection.get_server_host_key()
    note = f"{login.address} {key.export_public_key().decode().strip()}" if key else None
    if note != pins.get(NOTE):
        await pins.keep(NOTE, note)


def _offers(pin: HostPin | None) -> Sequence[Sequence[str]]:
    """Algorithms of host keys in order of preference; one connection for each, until the pinned key is shown."""
    if pin is None:
        return [_preferring(FAMILIES[0])]
    if pin.key is None:
        return [_preferring(family) for family in FAMILIES]
    return [_preferring([name for name in ALL if name.encode() in pin.key.sig_algorithms])]


def _preferring(first: Sequence[str]) -> list[str]:
    return [*first, *(name for name in ALL if name not in first)]


def _changed(login: Login, expected: str, shown: Sequence[str]) -> DestinationError:
    seen = ", ".join(dict.fromkeys(shown))
    return DestinationError(
        Step.CONNECT,
        "host_key_changed",
        f"The host key of {login.host} has changed: expected {expected}, the server shows {seen}. Nothing was sent. "
        "Ask whoever runs the server; only if they changed the key, set `host_key` to the new fingerprint.",
        transient=False,
    )


async def _authenticated(
    login: Login, client: _Client, algorithms: Sequence[str], egress: Egress, timeouts: Timeouts
) -> asyncssh.SSHClientConnection:
    options = _options(login, client, algorithms, timeouts)
    made = await _socket(login, egress, timeouts)
    try:
        async with asyncio.timeout(timeouts.silence):
            # Host and port are given although the socket is connected: without them asyncssh asks the socket for its
            # peer, and a socket that was reset meanwhile has none.
            return await asyncssh.connect(login.host, login.port, sock=made, config=None, options=options)
    except asyncssh.HostKeyNotVerifiable:
        raise
    except asyncssh.KeyExchangeFailed as exc:
        message = f"The server supports none of our algorithms; it may be very old: {printable(exc.reason)}"
        raise DestinationError(Step.CONNECT, "no_common_algorithm", message, transient=False) from exc
    except asyncssh.PermissionDenied as exc:
        raise _denied(login) from exc
    except Exception as exc:  # asyncssh raises anything when a server misbehaves
        raise _failed(client, exc) from exc
    finally:
        if not client.connected:  # asyncssh does not own the socket yet
            made.close()


async def _socket(login: Login, egress: Egress, timeouts: Timeouts) -> socket.socket:
    try:
        return await egress.connect(login.host, login.port, timeouts.connect)
    except (Forbidden, Unresolved) as exc:
        raise egress_error(exc) from exc
    except OSError as exc:
        why = str(exc) or f"no answer for {timeouts.connect:g} seconds"
        message = f"{login.host} port {login.port} cannot be reached: {why}. Check host, port and firewalls."
        raise DestinationError(Step.CONNECT, "unreachable", message, transient=True) from exc


def _options(
    login: Login, client: _Client, algorithms: Sequence[str], timeouts: Timeouts
) -> asyncssh.SSHClientConnectionOptions:
    """Sets everything that asyncssh would otherwise take from this machine: files, agent, Kerberos, host keys."""
    try:
        return asyncssh.SSHClientConnectionOptions(
            config=None,
            client_factory=lambda: client,
            # Empty lists, so that `_Client` decides; an empty string would mean ~/.ssh/known_hosts.
            known_hosts=([], [], []),
            server_host_key_algs=list(algorithms),
            x509_trusted_certs=None,
            x509_trusted_cert_paths=[],
            username=login.username,
            password=login.password,
            client_keys=None,
            agent_path=None,
            gss_host=None,
            preferred_auth=["publickey", "password", "keyboard-interactive"],
            keepalive_interval=timeouts.silence / 3,
            keepalive_count_max=3,
        )
    except ValueError as exc:  # control characters in the username, or no name for this process (see the docs)
        message = f"SSH cannot be used with these settings: {exc}"
        raise DestinationError(Step.CONNECT, "bad_login", message, transient=False) from exc


def _denied(login: Login) -> DestinationError:
    what = " and ".join(
        name for name, given in (("private_key", login.key), ("password", login.password is not None)) if given
    )
    return DestinationError(
        Step.AUTHENTICATE,
        "wrong_credentials",
        f"The server refuses the login of {login.username!r} with this {what}: correct it, or allow it on the server.",
        transient=False,
    )


def _failed(client: _Client, exc: Exception) -> DestinationError:
    step = Step.AUTHENTICATE if client.seen else Step.CONNECT
    if isinstance(exc, TimeoutError):
        message = "The server accepted the connection and then stopped answering."
        return DestinationError(step, "stalled", message, transient=True)
    said = exc.reason if isinstance(exc, asyncssh.Error) else str(exc)
    message = f"The server closed the connection, or does not speak SSH: {printable(said)}"
    return DestinationError(step, "connection_lost", message, transient=True)
