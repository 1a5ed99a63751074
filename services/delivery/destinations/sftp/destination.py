"""SFTP: one folder of a server whose host key is pinned; the config, and the login to a session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

import asyncssh
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from services.delivery.destinations.contract import DestinationConfig, DestinationError, Notes, Step
from services.delivery.destinations.egress import CONNECT_SECONDS, Egress
from services.delivery.destinations.sftp.connection import Limits, Login, connected
from services.delivery.destinations.sftp.errors import calling
from services.delivery.destinations.sftp.files import Files
from services.delivery.destinations.sftp.keys import host_pin, private_key
from services.delivery.destinations.sftp.session import SftpSession

SILENCE_SECONDS = 30.0
_NO_SESSION = (asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, asyncssh.OPEN_REQUEST_SESSION_FAILED)


class SftpConfig(DestinationConfig):
    """A folder of an SFTP server."""

    host: str = Field(min_length=1, max_length=255, description="Name or address of the server.")
    port: int = Field(default=22, ge=1, le=65535)
    username: str = Field(min_length=1, max_length=255)
    password: SecretStr | None = Field(default=None, min_length=1, description="Password; or give a private key.")
    passphrase: SecretStr | None = Field(default=None, min_length=1, description="Of the private key, if it has one.")
    # After the passphrase, which it is checked with.
    private_key: SecretStr | None = Field(
        default=None, max_length=20_000, description="Private key, the whole text of its file (OpenSSH or PEM)."
    )
    host_key: str | None = Field(
        default=None,
        max_length=4_000,
        description="The server's key: its fingerprint (SHA256:…) or public key; absent: the first one seen is kept.",
    )
    path: str = Field(
        default=".",
        max_length=1_000,
        pattern=r"^[^\x00\r\n]*$",
        description="Folder, made if it is not there; relative to the login folder unless it begins with /.",
    )
    verify: Literal["content", "size"] = Field(
        default="content",
        description="content: read the file back, compare its SHA-256; size: never read it, where that is forbidden.",
    )

    @field_validator("private_key")
    @classmethod
    def _readable(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is not None:
            private_key(key.get_secret_value(), _plain(info.data.get("passphrase")))
        return key

    @field_validator("host_key")
    @classmethod
    def _pin(cls, text: str | None) -> str | None:
        if text is not None:
            host_pin(text)
        return text

    @field_validator("path")
    @classmethod
    def _no_tilde(cls, path: str) -> str:
        if path.split("/", 1)[0].startswith("~"):
            raise ValueError("is relative to the login folder already; leave the ~ out")
        return path

    @model_validator(mode="after")
    def _credentials(self) -> "SftpConfig":
        if self.password is None and self.private_key is None:
            raise ValueError("password or private_key is needed")
        if self.passphrase is not None and self.private_key is None:
            raise ValueError("passphrase is for a private_key, and there is none")
        return self


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


class Sftp:
    """The type `sftp`.

    Args:
        connect_seconds: how long a connection may take.
        silence_seconds: how long a login, or the answer to a request, may take.
    """

    name: ClassVar[str] = "sftp"
    Config: ClassVar[type[DestinationConfig]] = SftpConfig

    def __init__(self, connect_seconds: float = CONNECT_SECONDS, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._limits = Limits(connect_seconds, silence_seconds)

    def address(self, config: Any) -> tuple[str, int]:
        """Host and port of the server."""
        return config.host, config.port

    @asynccontextmanager
    async def open(self, config: SftpConfig, egress: Egress, pins: Notes) -> AsyncIterator["SftpSession"]:
        """Connect and log in; see the contract."""
        login = await asyncio.to_thread(_login, config)
        async with connected(login, egress, pins, self._limits) as connection:
            sftp = await self._client(connection)
            yield SftpSession(config.path, Files(sftp, self._limits.silence), reads=config.verify == "content")

    async def _client(self, connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
        async with calling(Step.AUTHENTICATE, self._limits.silence):
            try:
                return await connection.start_sftp_client()
            except asyncssh.ChannelOpenError as exc:
                if exc.code not in _NO_SESSION:
                    raise
                message = f"The server lets the user in but not use SFTP: {exc.reason[:200]}"
                raise DestinationError(Step.AUTHENTICATE, "no_sftp", message, transient=False) from exc


def _login(config: SftpConfig) -> Login:
    """Opening a key takes up to two seconds of one processor."""
    text, pin = _plain(config.private_key), config.host_key
    try:
        key = private_key(text, _plain(config.passphrase)) if text is not None else None
    except ValueError as exc:
        raise DestinationError(Step.AUTHENTICATE, "bad_private_key", f"private_key {exc}.", transient=False) from exc
    return Login(
        config.host, config.port, config.username, _plain(config.password), key, host_pin(pin) if pin else None
    )


DESTINATION = Sftp()
