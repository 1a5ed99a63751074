"""FTP with TLS: certificates, resumed sessions, servers with another kind of TLS, answers before the handshake."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from pydantic import ValidationError

from services.delivery.destinations.ftp.destination import FtpConfig
from tests.contract.destinations.ftp_trial import SHORT, TIMEOUTS, Watched, delivered, failure
from tests.contract.destinations.payloads import MIB, File, some
from tests.contract.destinations.rigs.ftp import FtpRig, Tls, self_signed


def _started(tls: Tls) -> Iterator[FtpRig]:
    rig = FtpRig(tls)
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def plain() -> Iterator[FtpRig]:
    yield from _started("none")


@pytest.fixture(scope="module")
def explicit() -> Iterator[FtpRig]:
    yield from _started("explicit")


@pytest.fixture(scope="module")
def implicit() -> Iterator[FtpRig]:
    yield from _started("implicit")


@pytest.fixture(params=["explicit", "implicit"])
def rig(request: pytest.FixtureRequest) -> FtpRig:
    found: FtpRig = request.getfixturevalue(request.param)
    found.clear()
    return found


async def test_data_connections_resume_the_session_of_the_control_connection(rig: FtpRig) -> None:
    file = File(some(4 * MIB))
    await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}
    assert rig.resumed == [True, True]  # sent, and read back


async def test_sessions_of_tls_1_2_are_resumed_too(rig: FtpRig) -> None:
    usual = rig.handler.ssl_options
    rig.handler.ssl_context, rig.handler.ssl_options = None, usual | SSL.OP_NO_TLSv1_3
    try:
        await delivered(rig.config(), File(b"x"), "shop.csv")
    finally:
        rig.handler.ssl_context, rig.handler.ssl_options = None, usual
    assert rig.resumed == [True, True]


async def test_a_server_that_accepts_no_resumption_is_named_as_such(rig: FtpRig) -> None:
    rig.accepts_resumption = False
    error = await failure(rig.config(), File(some(4 * MIB)))
    assert (error.step, error.code, error.transient) == ("write", "tls_session_reuse_required", False)
    assert rig.files() == {}


async def test_an_untrusted_certificate_is_refused_before_the_password_is_sent(rig: FtpRig) -> None:
    error = await failure({**rig.config(), "ca_certificate": None}, File(b"x"))
    assert (error.step, error.code, error.transient) == ("connect", "certificate_invalid", False)
    assert "verify_certificate" in error.message
    assert not [command for command in rig.commands if command.startswith(("USER", "PASS"))]


async def test_a_certificate_for_another_name_is_refused(rig: FtpRig) -> None:
    config = {**rig.config(), "host": "ftp.shop.example"}
    error = await failure(config, File(b"x"), egress=Watched({"ftp.shop.example": "127.0.0.1"}))
    assert error.code == "certificate_invalid"


async def test_verification_of_certificates_can_be_turned_off(rig: FtpRig) -> None:
    config = {**rig.config(), "ca_certificate": None, "verify_certificate": False}
    await delivered(config, File(b"x"), "shop.csv")
    assert rig.files() == {"shop.csv": b"x"}
    assert rig.resumed == [True, True]


def test_a_config_with_an_invalid_certificate_is_refused() -> None:
    values = {"host": "ftp.shop.example", "username": "shop", "password": "secret"}
    with pytest.raises(ValidationError, match="not a certificate in PEM"):
        FtpConfig.model_validate({**values, "ca_certificate": "-----BEGIN nonsense"})


def test_tls_is_explicit_by_default() -> None:
    config = FtpConfig.model_validate({"host": "ftp.shop.example", "username": "shop", "password": "secret"})
    assert config.tls == "explicit"
    assert config.verify_certificate


async def test_there_is_no_fallback_to_a_connection_without_tls(plain: FtpRig) -> None:
    plain.clear()
    error = await failure({**plain.config(), "tls": "explicit"}, File(b"x"))
    assert (error.step, error.code, error.transient) == ("connect", "tls_not_offered", False)
    assert plain.commands == ["AUTH TLS"]


async def test_implicit_tls_on_a_port_without_it_is_reported(plain: FtpRig) -> None:
    error = await failure({**plain.config(), "tls": "implicit"}, File(b"x"))
    assert (error.step, error.code, error.transient) == ("connect", "tls_failed", False)


async def test_the_error_for_a_server_with_implicit_tls_has_a_hint(implicit: FtpRig) -> None:
    error = await failure({**implicit.config(), "tls": "explicit"}, File(b"x"), timeouts=SHORT)
    assert (error.step, error.code) == ("connect", "stalled")
    assert "implicit" in error.message


async def test_a_server_that_requires_tls_is_reported(explicit: FtpRig) -> None:
    explicit.clear()
    error = await failure({**explicit.config(), "tls": "none"}, File(b"x"))
    assert (error.step, error.code, error.transient) == ("authenticate", "tls_required", False)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[dict[str, Any]]:
    """A server with scripted answers, and its config."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield {"host": "127.0.0.1", "port": port, "username": "shop", "password": "secret", "tls": "none"}
    server.close()


async def test_answers_from_before_the_tls_handshake_are_dropped(tmp_path: Path) -> None:
    certificate, key = self_signed("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_text(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        writer.write(b"234 go on\r\n533 said by somebody in between\r\n")
        await writer.start_tls(context)
        for answer in (b"200 ok\r\n", b"200 ok\r\n", b"530 Login incorrect\r\n"):
            await reader.readline()
            writer.write(answer)
        await reader.readline()

    async with speaking(talk) as config:
        error = await failure({**config, "tls": "explicit", "ca_certificate": certificate}, File(b"x"))
    assert error.code == "wrong_credentials"


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"220-blah\r\n" * 100)
        await writer.drain()


async def _one_long_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("talk", "code"), [(_endless, "not_ftp"), (_one_long_line, "not_ftp"), (_http, "connection_lost")]
)
async def test_a_server_that_does_not_speak_ftp_ends_the_attempt_without_filling_memory(talk: Talk, code: str) -> None:
    async with speaking(talk) as config:
        error = await failure(config, File(b"x"), timeouts=TIMEOUTS)
    assert (error.step, error.code) == ("connect", code)
