"""aioftp's client, with a checked address for every connection, TLS on both connections, and a limit on each wait.

The address in an answer to PASV is never used: a data connection goes to the peer of the control connection, which was
checked when it was made, and is checked again. Under TLS it resumes the control connection's session, as many servers
require (cpython#63699). asyncio takes no session, so aioftp's context that is bound to a session is used instead.
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
from services.delivery.destinations.ftp.errors import Garbled, NoDataConnection, Refused, Unreachable
from services.delivery.destinations.ftp.transfer import BLOCK, Transfer
from services.delivery.destinations.kit.error_rules import printable
from services.delivery.destinations.kit.timeouts import Timeouts

MAX_LINE = 4096
MAX_LINES = 1000
"""Of one answer, so that a server cannot fill the memory."""
LAST_ANSWER_SECONDS = 5.0
"""For answers that explain a failure or end the session, but are not worth a long wait."""
_EXTENDED = re.compile(r"\((.)\1\1(\d+)\1\)")
_PASSIVE = re.compile(r"\d+,\d+,\d+,\d+,(\d+),(\d+)")


class Client(aioftp.Client):
    """One control connection, and data connections one at a time.

    Args:
        tls: the context of all connections; None for none.
        secret: removed from the server's texts.
    """

    def __init__(self, egress: Egress, timeouts: Timeouts, tls: ssl.SSLContext | None, secret: str) -> None:
        super().__init__()
        self._egress = egress
        self._timeouts = timeouts
        self._tls = tls
        self._secret = secret
        self._peer = ""
        self._plain: ThrottleStreamIO | None = None
        self._extended = True
        self._answer_expected = False
        self._lines = 0

    async def reach(self, host: str, port: int, *, implicit: bool) -> None:
        """Connect and read the greeting; with `implicit`, TLS comes first."""
        self.ssl = self._tls if implicit else None
        async with self._answering("greeting", self._timeouts.connect + self._timeouts.silence):
            await self.connect(host, port)

    async def secure(self) -> None:
        """Explicit TLS (RFC 4217). Unread bytes from before it, perhaps of someone in between, are dropped."""
        if self._tls is None:
            raise ValueError("this client was made without TLS")
        await self.ask("AUTH TLS", "234")
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        # The old writer would close the connection if it were collected.
        self._plain = self.stream
        transport = await loop.start_tls(
            self._plain.writer.transport,
            protocol,
            self._tls,
            server_hostname=self.server_host,
            ssl_handshake_timeout=self._timeouts.connect,
            ssl_shutdown_timeout=self._timeouts.connect,
        )
        if transport is None:
            raise ConnectionResetError("the connection was lost during the TLS handshake")
        protocol.connection_made(transport)
        self._stream = ThrottleStreamIO(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def sign_in(self, username: str) -> None:
        """Log in, and set data connections to private and files to binary."""
        if self._tls is not None:
            await self.ask("PBSZ 0", "2xx")
            await self.ask("PROT P", "2xx")
        async with self._answering("login", self._timeouts.silence):
            await self.login(username, self._secret)
        await self.ask("TYPE I", "200")

    async def ask(self, command: str | None, *expected: str, timeout: float | None = None) -> list[str]:
        """Send a command, or none, and wait for an expected answer; its lines without the code.

        Raises:
            Refused, Garbled, TimeoutError, OSError.
        """
        verb = command.split(" ", 1)[0] if command else "transfer"
        wait = () if expected == ("1xx",) else ("1xx",)
        async with self._answering(verb, timeout or self._timeouts.silence):
            if self._answer_expected:
                self._answer_expected = False
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
        return Transfer(self, reader, writer, self._timeouts)

    async def _protected(self, made: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await self._streams(made, self._resuming())
        except ssl.SSLCertVerificationError:
            raise
        except OSError as exc:
            raise await self.transfer_error(exc) from exc

    async def transfer_error(self, lost: OSError) -> Exception:
        """Why a data connection broke: the server's explanation, else the error itself."""
        try:
            await self.ask(None, "2xx", timeout=LAST_ANSWER_SECONDS)
        except Refused as exc:
            return exc
        except (Garbled, OSError):
            return lost
        return lost

    def expect_answer(self) -> None:
        """The server will still answer the transfer that was aborted."""
        self._answer_expected = True

    async def leave(self) -> None:
        """Log out."""
        with suppress(Refused, Garbled, OSError):
            await self.ask("QUIT", "2xx", timeout=LAST_ANSWER_SECONDS)

    def hang_up(self) -> None:
        """Close immediately."""
        if self._stream is not None:
            self._stream.writer.transport.abort()

    async def parse_line(self) -> tuple[Code, str]:
        """One line of an answer; bytes that are not UTF-8, as in old greetings, are replaced."""
        line = await self.stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed the connection")
        self._lines += 1
        if self._lines > MAX_LINES:
            raise Garbled(f"an answer of more than {MAX_LINES} lines")
        text = line.decode(errors="replace").rstrip()
        return Code(text[:3]), text[3:]

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            made = await self._egress.connect(host, port, self._timeouts.connect)
        except OSError as exc:
            raise Unreachable(str(exc) or "no answer") from exc
        # The connection is idle while a file is hashed or sent; commands in between would confuse many servers.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._peer = made.getpeername()[0]
        return await self._streams(made, self.ssl if isinstance(self.ssl, ssl.SSLContext) else None, MAX_LINE)

    async def _data_socket(self) -> socket.socket:
        port = await self._data_port()
        try:
            return await self._egress.connect(self._peer, port, self._timeouts.connect)
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
            ssl_handshake_timeout=self._timeouts.connect,
            ssl_shutdown_timeout=self._timeouts.work,
        )

    @asynccontextmanager
    async def _answering(self, verb: str, timeout: float) -> AsyncIterator[None]:
        self._lines = 0
        try:
            async with asyncio.timeout(timeout):
                yield
        except aioftp.StatusCodeError as exc:
            # Not chained: the original holds the server's text unmasked.
            raise Refused(
                verb, str(exc.received_codes[-1]), printable(" ".join(exc.info).lstrip("- "), self._secret)
            ) from None
        except (ssl.SSLError, Garbled):
            raise
        except ValueError as exc:
            raise Garbled(f"{verb}: {exc}"[:200]) from None


def _port(number: int | None) -> int:
    if number is None or not 0 < number < 65536:
        raise Garbled("an answer to EPSV or PASV without a port")
    return number
