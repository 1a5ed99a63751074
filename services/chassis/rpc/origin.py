"""Where the current request comes from, as the gateway knows it: an API key and a client's address.

The gateway passes both to the services as gRPC metadata. Services use them only if the caller is the gateway.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

CALLER_HEADER, KEY_HEADER, ADDRESS_HEADER = "x-caller", "x-key-id", "x-client-address"
_CALLER = re.compile(r"[a-z][a-z-]{0,39}")


@dataclass(slots=True)
class Client:
    """The client of a REST request.

    Args:
        key_id: of its API key.
        is_recorded: a service has answered a call that it records in the audit log.
    """

    key_id: str
    address: str
    is_recorded: bool = False


_CLIENT: ContextVar[Client | None] = ContextVar("client", default=None)


def begin(client: Client | None) -> None:
    """Set the client of the current request."""
    _CLIENT.set(client)


def client() -> Client | None:
    """The client of the current request; None outside of the gateway's requests."""
    return _CLIENT.get()


def metadata(name: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that this process, `name`, makes."""
    found = client()
    known = () if found is None else ((KEY_HEADER, found.key_id), (ADDRESS_HEADER, found.address))
    return ((CALLER_HEADER, name), *known) if name else known


def claimed_caller(metadata: Mapping[str, str]) -> str:
    """The name that a caller gives itself; empty when it gives none. It proves nothing."""
    name = metadata.get(CALLER_HEADER, "")
    return name if _CALLER.fullmatch(name) else ""
