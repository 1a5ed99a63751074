"""What a destination is: a sub-package whose module `destination` defines `DESTINATION` or `DESTINATIONS`.

A destination declares its config as a pydantic model, which validates a platform's config, marks its secrets
(`SecretStr`) and gives its JSON Schema. It opens sessions that find, send, read and remove files. It guarantees that a
reader of the target sees the whole file under its final name, or what was there before, never a part of a file.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from services.chassis.faults import AttemptError
from services.delivery.destinations.egress import Egress


class Step(StrEnum):
    """The steps of a delivery, in order; an error names the one that failed."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    AUTHENTICATE = "authenticate"
    WRITE = "write"
    READ = "read"
    DELETE = "delete"


class DestinationError(AttemptError):
    """Why a destination did not accept a file.

    Args:
        step: the step that failed.
        code: stable, in snake_case, for programs: `wrong_credentials`, `no_such_bucket`, `host_key_changed`.
        message: what happened and what to do, for people; never a secret.
        transient: a later attempt may succeed without anyone changing something.
    """

    def __init__(self, step: Step, code: str, message: str, *, transient: bool) -> None:
        super().__init__(code, message, transient=transient, step=step.value)
        self.step: Step = step


class NameTaken(DestinationError):
    """There is already a file of this name, and it may not be replaced."""

    def __init__(self, name: str) -> None:
        super().__init__(
            Step.WRITE,
            "name_taken",
            f"There is already a file {name!r}, and `on_conflict` does not allow replacing it.",
            transient=False,
        )


class InvalidField(Exception):
    """A field of a config is not valid."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = message


class DestinationConfig(BaseModel):
    """The fields that every type has; each destination extends them. Unknown keys are refused."""

    # Inputs are hidden, so that an error that is logged by mistake shows no secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    secrets_go_to: ClassVar[frozenset[str]] = frozenset()
    """Fields that decide which server gets the secrets, and how that server proves who it is."""

    file_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Template of the file name: `{format} {date} {time} {schedule} {job}`; default: that of the job.",
    )
    on_conflict: Literal["overwrite", "rename", "skip", "fail"] = Field(
        default="overwrite", description="What to do if another file has the name."
    )

    def prepared(self) -> Self:
        """The config as it is stored; called once, in a thread.

        Checks and derivations that take CPU time belong here and not in validators, which run before each attempt.

        Raises:
            InvalidField: a field is not valid.
        """
        return self


class Notes(Protocol):
    """Values that a delivery or a platform keeps; they are durable before `keep` returns, and encrypted at rest."""

    def get(self, name: str) -> str | None:
        """The value, if there is one."""

    async def keep(self, name: str, value: str | None) -> None:
        """Store a value; None deletes it."""


class MemoryNotes:
    """Notes that last as long as this object."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._known = dict(known or {})

    def get(self, name: str) -> str | None:
        """The value, if there is one."""
        return self._known.get(name)

    async def keep(self, name: str, value: str | None) -> None:
        """Store the value; None deletes it."""
        if value is None:
            self._known.pop(name, None)
        else:
            self._known[name] = value


@dataclass(frozen=True, slots=True)
class Payload:
    """The file to send.

    Args:
        delivery_id: the same for all attempts; names of parts contain it.
        size: in bytes.
        sha256: in hex.
        read: yields the bytes from an offset on. Its errors are not the destination's fault and are not translated.
        progress: to be called with the number of bytes that the destination has.
        verifying: to be called once, when all bytes are sent and their verification starts.
    """

    delivery_id: str
    size: int
    sha256: str
    media_type: str
    read: Callable[[int], AsyncIterator[bytes]]
    progress: Callable[[int], None]
    verifying: Callable[[], None]
    notes: Notes


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A complete file at the destination, under its final name.

    Args:
        remote: its path, key or id there.
        size: in bytes.
        reported: what the destination itself reports (etag, md5, …).
        url: where people can open it; empty if there is no such place.
    """

    remote: str
    size: int
    reported: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


class Session(Protocol):
    """A connection to one target. Every method raises DestinationError; names are final names, without a folder."""

    async def is_alive(self) -> bool:
        """Whether a session that was idle can still be used; never raises."""

    async def find(self, name: str) -> RemoteFile | None:
        """The file of this name, if there is one."""

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """Whether the file is the payload: by size and hash; it is read back where the destination has no hash."""

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """Upload, resuming what an earlier attempt of this delivery left; verify size and hash; then show it as `name`.

        Raises:
            NameTaken: `replace` is false and there is a file of that name.
        """

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file."""

    async def remove(self, name: str) -> None:
        """Delete a file; no error if it does not exist."""

    async def tidy(self, name: str, payload: Payload) -> None:
        """Remove what unfinished attempts of this delivery left: parts, open uploads."""


class Destination(Protocol):
    """One type of destination. Implementations are stateless; `config` is always an instance of their own `Config`."""

    name: ClassVar[str]
    """The value of `platform_type`."""
    Config: ClassVar[type[DestinationConfig]]

    def address(self, config: Any) -> tuple[str, int]:
        """Host and port of the first connection, for the step `resolve` of a test."""

    def open(self, config: Any, egress: Egress, pins: Notes) -> AbstractAsyncContextManager[Session]:
        """Connect and authenticate; every connection goes through `egress`.

        Args:
            pins: what the platform keeps about the server, such as the first host key seen.

        Raises:
            DestinationError: at the steps resolve, connect or authenticate.
        """
