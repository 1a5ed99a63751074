"""The destination `sftp`: its config, and the login to a folder of a server whose host key is pinned."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Literal, Self

import asyncssh
from pydantic import Field, SecretStr, field_validator, model_validator

from services.delivery.destinations.contract import DestinationConfig, DestinationError, InvalidField, Notes, Step
from services.delivery.destinations.egress import Egress
from services.delivery.destinations.kit.part_file import FolderSession
from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.sftp.connection import Login, connected
from services.delivery.destinations.sftp.errors import translate_errors
from services.delivery.destinations.sftp.folder import SftpFolder
from services.delivery.destinations.sftp.keys import MAX_NEW_ROUNDS, MAX_ROUNDS, host_pin, private_key
from services.delivery.destinations.threads import in_key_thread

_NO_SESSION = (asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, asyncssh.OPEN_REQUEST_SESSION_FAILED)


class SftpConfig(DestinationConfig):
    """A folder of an SFTP server."""

    secrets_go_to: ClassVar[frozenset[str]] = frozenset({"host", "port", "host_key"})

    host: str = Field(min_length=1, max_length=255, description="Name or address of the server.")
    port: int = Field(default=22, ge=1, le=65535)
    username: str = Field(min_length=1, max_length=255)
    password: SecretStr | None = Field(
        default=None, min_length=1, max_length=4_096, description="Password, or give a private key."
    )
    passphrase: SecretStr | None = Field(
        default=None, min_length=1, max_length=4_096, description="Of the private key, if it has one."
    )
    private_key: SecretStr | None = Field(
        default=None, max_length=20_000, description="Private key, the whole text of its file (OpenSSH or PEM)."
    )
    host_key: str | None = Field(
        default=None,
        max_length=4_000,
        description="The server's key: its fingerprint (SHA256:…) or public key; default: the first one seen.",
    )
    path: str = Field(
        default=".",
        max_length=1_000,
        pattern=r"^[^\x00\r\n]*$",
        description="Folder, created if it does not exist; relative to the login folder unless it begins with /.",
    )
    verify: Literal["content", "size"] = Field(
        default="content",
        description="content: read the file back and compare its SHA-256; size: compare the size, never read the file.",
    )

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
            raise ValueError("is already relative to the login folder; remove the ~")
        return path

    @model_validator(mode="after")
    def _credentials(self) -> "SftpConfig":
        if self.password is None and self.private_key is None:
            raise ValueError("password or private_key is required")
        if self.passphrase is not None and self.private_key is None:
            raise ValueError("passphrase is given without a private_key")
        return self

    def prepared(self) -> Self:
        """With the private key decrypted, so that attempts need no key derivation; the passphrase is not kept."""
        if self.private_key is None:
            return self
        try:
            key = private_key(self.private_key.get_secret_value(), _plain(self.passphrase), MAX_NEW_ROUNDS)
        except ValueError as exc:
            raise InvalidField("private_key", str(exc)) from exc
        if self.passphrase is None:
            return self
        values = {name: getattr(self, name) for name in self.model_fields_set - {"passphrase"}}
        return type(self)(**{**values, "private_key": SecretStr(key.export_private_key().decode())})


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


class Sftp:
    """The type `sftp`.

    Args:
        timeouts: `silence` is the limit for the login and for each answer.
    """

    name: ClassVar[str] = "sftp"
    Config: ClassVar[type[DestinationConfig]] = SftpConfig

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()

    def address(self, config: Any) -> tuple[str, int]:
        """Host and port of the server."""
        return config.host, config.port

    @asynccontextmanager
    async def open(self, config: SftpConfig, egress: Egress, pins: Notes) -> AsyncIterator[FolderSession]:
        """Connect and log in; see the contract."""
        login = await in_key_thread(partial(_login, config))
        async with connected(login, egress, pins, self._timeouts) as connection:
            sftp = await self._client(connection)
            reads = config.verify == "content"
            yield FolderSession(SftpFolder(sftp, config.path, self._timeouts.silence, reads=reads))

    async def _client(self, connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
        async with translate_errors(Step.AUTHENTICATE, self._timeouts.silence):
            try:
                return await connection.start_sftp_client()
            except asyncssh.ChannelOpenError as exc:
                if exc.code not in _NO_SESSION:
                    raise
                message = f"The user may log in to the server but not use SFTP: {exc.reason[:200]}"
                raise DestinationError(Step.AUTHENTICATE, "no_sftp", message, transient=False) from exc


def _login(config: SftpConfig) -> Login:
    """Parse the config. Keys that older versions stored are still encrypted and take up to 3 s of CPU time."""
    text, pin = _plain(config.private_key), config.host_key
    try:
        key = private_key(text, _plain(config.passphrase), MAX_ROUNDS) if text is not None else None
    except ValueError as exc:
        raise DestinationError(Step.AUTHENTICATE, "bad_private_key", f"private_key {exc}.", transient=False) from exc
    return Login(
        config.host, config.port, config.username, _plain(config.password), key, host_pin(pin) if pin else None
    )


DESTINATION = Sftp()
