"""aioftp's client with what a delivery needs of every connection: a checked address, TLS on both, a limit on each wait.

The address in an answer to PASV is never used: a data connection goes to the peer of the control connection, which was
checked when it was made, and is checked again. Under TLS it resumes the control connection's session, as many servers
demand (cpython#63699): asyncio takes no session, so aioftp's context bound to a session stands in for the context.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aioftp
from aioftp.common import Code, SSLSessionBoundContext, ThrottleStreamIO

from services.delivery.destinations.egress import Egress
from services.delivery.destinations.ftp.transfer import BLOCK, Transfer
from services.delivery.destinations.ftp.words import Garbled, Limits, NoDataConnection, Refused, Unreachable

LONGEST_LINE = 4096
MOST_LINES = 1000
"""Of one answer; a server must not fill our memory."""
PARTING_SECONDS = 5.0
"""For a word that is worth hearing but not worth waiting for."""
_EXTENDED = re.compile(r"\((.)\1\1(\d+)\1\)")
_PASSIVE = re.compile(r"\d+,\d+,\d+,\d+,(\d+),(\d+)")


class Client(aioftp.Client):
    """One control connection, and data connections one at a time.

    Args:
        tls: the context of all connections; None for none.
        secret: what must not be repeated, should the server do so.
    """

    def __init__(self, egress: Egress, limits: Limits, tls: ssl.SSLContext | None, secret: str) -> None:
        super().__init__()
        self._egress = egress
        self._limits = limits
        self._tls = tls
        self._secret = secret
        self._peer = ""
        self._plain: ThrottleStreamIO | None = None
        self._extended = True
        self._owed = False
        self._lines = 0

    async def reach(self, host: str, port: int, *, implicit: bool) -> None:
        """Connect and hear the greeting; with `implicit`, TLS comes first."""
        self.ssl = self._tls if implicit else None
        async with self._answering("greeting", self._limits.connect + self._limits.silence):
            await self.connect(host, port)

    async def secure(self) -> None:
        """Explicit TLS (RFC 4217). What was said before it, perhaps by somebody in between, is forgotten."""
        if self._tls is None:
            raise ValueError("this client was made without TLS")
        await self.ask("AUTH TLS", "234")
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        # The old writer would close the connection if it were collected.
        self._plain = self.stream
        transport = await loop.start_tls(
            self._plain.writer.transport,
            protocol,
            self._tls,
            server_hostname=self.server_host,
            ssl_handshake_timeout=self._limits.connect,
            ssl_shutdown_timeout=self._limits.connect,
        )
        if transport is None:
            raise ConnectionResetError("the connection was lost during the TLS handshake")
        protocol.connection_made(transport)
        self._stream = ThrottleStreamIO(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def sign_in(self, username: str) -> None:
        """Log in, and say that data connections are private and files are binary."""
        if self._tls is not None:
            await self.ask("PBSZ 0", "2xx")
            await self.ask("PROT P", "2xx")
        async with self._answering("login", self._limits.silence):
            await self.login(username, self._secret)
        await self.ask("TYPE I", "200")

    async def ask(self, command: str | None, *expected: str, within: float | None = None) -> list[str]:
        """Send a command, or none, and wait for the answer it must have; its lines without the code.

        Raises:
            Refused, Garbled, TimeoutError, OSError.
        """
        verb = command.split(" ", 1)[0] if command else "transfer"
        wait = () if expected == ("1xx",) else ("1xx",)
        async with self._answering(verb, within or self._limits.silence):
            if self._owed:
                self._owed = False
                await self.command(None, "xxx", "1xx")
            _, lines = await self.command(command, expected, wait)
        return lines

    async def transfer(self, command: str, offset: int = 0) -> Transfer:
        """Open a data connection and start the command on it; the TLS handshake follows the server's go-ahead."""
        made = await self._data_socket()
        try:
            if offset:
                await self.ask(f"REST {offset}", "350")
            await self.ask(command, "1xx")
            reader, writer = await self._protected(made)
        except BaseException:
            made.close()
            raise
        return Transfer(self, reader, writer, self._limits)

    async def _protected(self, made: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await self._streams(made, self._resuming())
        except ssl.SSLCertVerificationError:
            raise
        except OSError as exc:
            raise await self.last_word(exc) from exc

    async def last_word(self, lost: OSError) -> Exception:
        """Why a data connection broke: what the server says of it, else what we saw."""
        try:
            await self.ask(None, "2xx", within=PARTING_SECONDS)
        except Refused as exc:
            return exc
        except (Garbled, OSError):
            return lost
        return lost

    def owes(self) -> None:
        """The server will still answer the transfer that we broke off."""
        self._owed = True

    async def leave(self) -> None:
        """Say goodbye."""
        with suppress(Refused, Garbled, OSError):
            await self.ask("QUIT", "2xx", within=PARTING_SECONDS)

    def hang_up(self) -> None:
        """Close at once."""
        if self._stream is not None:
            self._stream.writer.transport.abort()

    async def parse_line(self) -> tuple[Code, str]:
        """One line of an answer; a greeting in Latin-1 is no reason to give up."""
        line = await self.stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed the connection")
        self._lines += 1
        if self._lines > MOST_LINES:
            raise Garbled(f"an answer of more than {MOST_LINES} lines")
        text = line.decode(errors="replace").rstrip()
        return Code(text[:3]), text[3:]

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            made = await self._egress.connect(host, port, self._limits.connect)
        except OSError as exc:
            raise Unreachable(str(exc) or "no answer") from exc
        # Idle while a file is hashed or sent; commands in between would confuse many servers.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._peer = made.getpeername()[0]
        return await self._streams(made, self.ssl if isinstance(self.ssl, ssl.SSLContext) else None, LONGEST_LINE)

    async def _data_socket(self) -> socket.socket:
        port = await self._data_port()
        try:
            return await self._egress.connect(self._peer, port, self._limits.connect)
        except OSError as exc:
            raise NoDataConnection(f"port {port}: {str(exc) or 'no answer'}") from exc

    async def _data_port(self) -> int:
        if self._extended:
            try:
                found = _EXTENDED.search((await self.ask("EPSV", "229"))[-1])
            except Refused as exc:
                if exc.code.startswith("4"):
                    raise
                self._extended = False
            else:
                return _port(found and int(found[2]))
        found = _PASSIVE.search((await self.ask("PASV", "227"))[-1])
        return _port(found and (int(found[1]) << 8) + int(found[2]))

    def _resuming(self) -> ssl.SSLContext | None:
        """The context of a data connection: bound to the session of the control connection."""
        if self._tls is None:
            return None
        control = self.stream.writer.get_extra_info("ssl_object")
        return SSLSessionBoundContext(ssl.PROTOCOL_TLS_CLIENT, self._tls, control.session)

    async def _streams(
        self, made: socket.socket, tls: ssl.SSLContext | None, limit: int = BLOCK
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if tls is None:
            return await asyncio.open_connection(sock=made, limit=limit)
        return await asyncio.open_connection(
            sock=made,
            limit=limit,
            ssl=tls,
            server_hostname=self.server_host,
            ssl_handshake_timeout=self._limits.connect,
            ssl_shutdown_timeout=self._limits.work,
        )

    @asynccontextmanager
    async def _answering(self, verb: str, within: float) -> AsyncIterator[None]:
        self._lines = 0
        try:
            async with asyncio.timeout(within):
                yield
        except aioftp.StatusCodeError as exc:
            # Not chained: the original holds the server's words as they came.
            raise Refused(verb, str(exc.received_codes[-1]), self._harmless(" ".join(exc.info))) from None
        except (ssl.SSLError, Garbled):
            raise
        except ValueError as exc:
            raise Garbled(f"{verb}: {exc}"[:200]) from None

    def _harmless(self, text: str) -> str:
        """The server's words without the password, control characters and length."""
        masked = text.replace(self._secret, "********") if self._secret else text
        return " ".join("".join(c if c.isprintable() else " " for c in masked).lstrip("- ").split())[:200]


def _port(number: int | None) -> int:
    if number is None or not 0 < number < 65536:
        raise Garbled("an answer to EPSV or PASV without a port")
    return number
