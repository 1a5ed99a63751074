"""The destination `ftp`: FTP, plain and with TLS, through aioftp."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from services.delivery.destinations.contract import DestinationConfig, Notes, Session, Step
from services.delivery.destinations.egress import Egress
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.errors import Refused, no_tls, translate_errors
from services.delivery.destinations.ftp.folder import FtpFolder
from services.delivery.destinations.ftp.proof import Prover, offered
from services.delivery.destinations.kit.ca_certificate import CaCertificate
from services.delivery.destinations.kit.part_file import FolderSession
from services.delivery.destinations.kit.timeouts import Timeouts

PORT = 21
IMPLICIT_PORT = 990


class FtpConfig(DestinationConfig):
    """How to reach an FTP server."""

    secrets_go_to: ClassVar[frozenset[str]] = frozenset({"host", "port", "tls", "verify_certificate", "ca_certificate"})

    host: str = Field(
        min_length=1,
        max_length=255,
        pattern=r"^[^\s/@\x00-\x1f]+$",
        description="Name or address of the server, without `ftp://`.",
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Default: 21, or 990 for implicit TLS.")
    username: str = Field(min_length=1, max_length=255)
    password: SecretStr = Field(max_length=4_096)
    tls: Literal["explicit", "implicit", "none"] = Field(
        default="explicit",
        description="explicit: TLS is started before the login; implicit: TLS from the first byte; none: unencrypted.",
    )
    path: str = Field(
        default="",
        max_length=1000,
        description="Folder, relative to the login folder or starting with `/`; created if it does not exist.",
    )
    verify_certificate: bool = Field(default=True, description="Whether the server's certificate must be trusted.")
    ca_certificate: CaCertificate | None = Field(
        default=None, description="PEM of the certificate authority to trust instead of the public ones."
    )
    verify: Literal["content", "size"] = Field(
        default="content",
        description="content: by a hash that the server computes, else by reading the file back; size: by size only.",
    )

    @field_validator("username", "path")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must not contain line breaks or other control characters")
        return value

    @field_validator("password")
    @classmethod
    def _one_secret_line(cls, value: SecretStr) -> SecretStr:
        cls._one_line(value.get_secret_value())
        return value


class FtpDestination:
    """FTP and FTPS."""

    name: ClassVar[str] = "ftp"
    Config: ClassVar[type[DestinationConfig]] = FtpConfig

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()

    def address(self, config: FtpConfig) -> tuple[str, int]:
        """Where the control connection goes."""
        return config.host, config.port or (IMPLICIT_PORT if config.tls == "implicit" else PORT)

    @asynccontextmanager
    async def open(self, config: FtpConfig, egress: Egress, pins: Notes) -> AsyncIterator[Session]:  # noqa: ARG002
        """Connect, start TLS, log in. Nothing is pinned: certificates are verified, and a plain server has none."""
        client = Client(
            egress, self._timeouts, await asyncio.to_thread(_context, config), config.password.get_secret_value()
        )
        try:
            with translate_errors(Step.CONNECT):
                await client.reach(*self.address(config), implicit=config.tls == "implicit")
                if config.tls == "explicit":
                    await _start_tls(client)
            with translate_errors(Step.AUTHENTICATE):
                await client.sign_in(config.username)
                features = await _features(client)
            prover = Prover(client, offered(features), self._timeouts)
            yield FolderSession(FtpFolder(client, config.path, prover, by_content=config.verify == "content"))
            await client.leave()
        finally:
            client.hang_up()


async def _start_tls(client: Client) -> None:
    try:
        await client.secure()
    except Refused as exc:
        raise no_tls(exc) from exc


async def _features(client: Client) -> list[str]:
    """What the server supports beyond RFC 959; switches names to UTF-8 where that is needed (RFC 2640)."""
    try:
        features = await client.ask("FEAT", "211")
        if any(feature.strip().upper() == "UTF8" for feature in features):
            await client.ask("OPTS UTF8 ON")
    except Refused:
        return []
    return features


def _context(config: FtpConfig) -> ssl.SSLContext | None:
    if config.tls == "none":
        return None
    context = ssl.create_default_context(cadata=config.ca_certificate)
    if not config.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


DESTINATION = FtpDestination()
