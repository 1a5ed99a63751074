"""What a destination is: one module in this folder that defines `DESTINATION`, found by its file name.

A destination declares its config as a pydantic model, which checks a platform's config, marks its secrets (`SecretStr`)
and makes its JSON Schema, and opens sessions in which one file at a time is looked for, sent and read. It promises one
thing: a reader of the destination sees under the final name a whole file, or what was there before.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from services.delivery.destinations.egress import Egress


class Step(StrEnum):
    """Where on the way to a destination something failed, in the order they are taken."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    AUTHENTICATE = "authenticate"
    WRITE = "write"
    READ = "read"
    DELETE = "delete"


class DestinationError(Exception):
    """Why a destination did not take a file.

    Args:
        step: the step that failed.
        code: stable, snake_case, for programs: `wrong_password`, `no_such_bucket`, `host_key_changed`.
        message: what happened and what to do, for people; never a secret.
        transient: a later attempt may go well without anybody doing something.
    """

    def __init__(self, step: Step, code: str, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.step = step
        self.code = code
        self.message = message
        self.transient = transient


class NameTaken(DestinationError):
    """There is a file under the name already, and it may not be replaced."""

    def __init__(self, name: str) -> None:
        super().__init__(
            Step.WRITE,
            "name_taken",
            f"There is a file {name!r} already, and on_conflict forbids to replace it.",
            transient=False,
        )


class DestinationConfig(BaseModel):
    """What every type takes; a destination's own model extends it. Unknown keys are refused."""

    # Inputs are hidden, so that no error that is logged by mistake shows a secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    file_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Template of the name there: `{format} {date} {time} {schedule} {job}`; absent: the job's name.",
    )
    on_conflict: Literal["overwrite", "rename", "skip", "fail"] = Field(
        default="overwrite", description="What to do when another file has the name."
    )


class Notes(Protocol):
    """What a delivery remembers from attempt to attempt, durable before `keep` returns and encrypted at rest."""

    def get(self, name: str) -> str | None:
        """What was kept."""

    async def keep(self, name: str, value: str | None) -> None:
        """Keep a value; None forgets it."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The file to send.

    `delivery_id` is the same for all attempts: names of parts are made of it. `read(offset)` yields bytes from there.
    `progress(bytes)` is to be called now and then with the number of bytes the destination has, `verifying()` once
    all are there and are checked. What `read` raises is not the destination's fault and passes through as it is.
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
    """A whole file at the destination, under its final name.

    `remote` is its path, key or id there; `reported` what the destination itself says of it (etag, md5, …).
    """

    remote: str
    size: int
    reported: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


class Session(Protocol):
    """A connection to one place. Every method raises DestinationError; names are final names, without a folder."""

    async def find(self, name: str) -> RemoteFile | None:
        """The whole file under this name, if there is one."""

    async def matches(self, found: RemoteFile, payload: Payload) -> bool:
        """Whether the file there is the payload: by size and hash; read back where the destination has no hash."""

    async def send(self, name: str, payload: Payload, *, replace: bool) -> RemoteFile:
        """Upload, resuming what an earlier attempt of this delivery left, verify size and hash, then show it as `name`.

        Raises:
            NameTaken: `replace` is false and there is a file of that name.
        """

    def read(self, name: str) -> AsyncIterator[bytes]:
        """The bytes of a file."""

    async def remove(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""

    async def tidy(self, name: str, payload: Payload) -> None:
        """Remove what unfinished attempts of this delivery left, if anything: parts, open uploads."""


class Destination(Protocol):
    """One type of destination. Implementations are stateless; `config` is always an instance of their own `Config`."""

    name: ClassVar[str]
    """The word in `platform_type`."""
    Config: ClassVar[type[DestinationConfig]]

    def address(self, config: Any) -> tuple[str, int]:
        """Host and port it will connect to first, for the step `resolve` of a test."""

    def open(self, config: Any, egress: Egress, pins: Notes) -> AbstractAsyncContextManager[Session]:
        """Connect and authenticate; every connection goes through `egress`.

        Args:
            pins: what the platform remembers of its peer, such as the host key seen first.

        Raises:
            DestinationError: at the steps resolve, connect or authenticate.
        """
