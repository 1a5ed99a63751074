"""FTP, plain and with TLS, through aioftp: a part that is resumed, verified and renamed.

FTP has no rename that spares an existing file, so with `replace` false the name is looked at just before: another
writer in that moment is not noticed. Servers that refuse to rename over a file have the old one moved aside first.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from services.delivery.destinations.contract import DestinationConfig, Notes, Session, Step
from services.delivery.destinations.egress import Egress
from services.delivery.destinations.ftp.client import Client
from services.delivery.destinations.ftp.errors import no_tls, told
from services.delivery.destinations.ftp.folder import Folder
from services.delivery.destinations.ftp.hashes import offered
from services.delivery.destinations.ftp.proof import Prover
from services.delivery.destinations.ftp.session import FtpSession
from services.delivery.destinations.ftp.words import Limits, Refused

PORT = 21
IMPLICIT_PORT = 990
LIMITS = Limits()


class FtpConfig(DestinationConfig):
    """How to reach an FTP server."""

    host: str = Field(
        min_length=1,
        max_length=255,
        pattern=r"^[^\s/@\x00-\x1f]+$",
        description="Name or address of the server, without `ftp://`.",
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="21 when absent; 990 for implicit TLS.")
    username: str = Field(min_length=1, max_length=255)
    password: SecretStr
    tls: Literal["explicit", "implicit", "none"] = Field(
        default="explicit",
        description="explicit: plain at first, TLS before the login; implicit: TLS at once; none: readable by all.",
    )
    path: str = Field(
        default="",
        max_length=1000,
        description="Folder, below the login folder or from `/`; made when it is not there.",
    )
    verify_certificate: bool = Field(
        default=True, description="Whether the server must show a certificate we can trust."
    )
    ca_certificate: str | None = Field(
        default=None, max_length=100_000, description="PEM of the issuer to trust in place of the public ones."
    )
    verify: Literal["content", "size"] = Field(
        default="content",
        description="content: by a hash the server computes, else the file is read back; size: by its size only.",
    )

    @field_validator("username", "path")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must not have line breaks or other control characters")
        return value

    @field_validator("password")
    @classmethod
    def _one_secret_line(cls, value: SecretStr) -> SecretStr:
        cls._one_line(value.get_secret_value())
        return value

    @field_validator("ca_certificate")
    @classmethod
    def _a_certificate(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ssl.create_default_context(cadata=value)
            except (ssl.SSLError, ValueError) as exc:
                raise ValueError("is no certificate in PEM form") from exc
        return value


class FtpDestination:
    """FTP and FTPS."""

    name: ClassVar[str] = "ftp"
    Config: ClassVar[type[DestinationConfig]] = FtpConfig

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits

    def address(self, config: FtpConfig) -> tuple[str, int]:
        """Where the control connection goes."""
        return config.host, config.port or (IMPLICIT_PORT if config.tls == "implicit" else PORT)

    @asynccontextmanager
    async def open(self, config: FtpConfig, egress: Egress, pins: Notes) -> AsyncIterator[Session]:  # noqa: ARG002  the contract has it
        """Connect, protect, log in. Nothing to pin: certificates are verified, a plain server has none."""
        client = Client(
            egress, self._limits, await asyncio.to_thread(_context, config), config.password.get_secret_value()
        )
        try:
            with told(Step.CONNECT):
                await client.reach(*self.address(config), implicit=config.tls == "implicit")
                if config.tls == "explicit":
                    await _secured(client)
            with told(Step.AUTHENTICATE):
                await client.sign_in(config.username)
                features = await _features(client)
            prover = Prover(client, offered(features), self._limits)
            yield FtpSession(client, Folder(client, config.path), prover, by_content=config.verify == "content")
            await client.leave()
        finally:
            client.hang_up()


async def _secured(client: Client) -> None:
    try:
        await client.secure()
    except Refused as exc:
        raise no_tls(exc) from exc


async def _features(client: Client) -> list[str]:
    """What the server can do beyond RFC 959; names are UTF-8 from here on, where it has to be told (RFC 2640)."""
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
