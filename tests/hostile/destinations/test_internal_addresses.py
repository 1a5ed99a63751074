"""What a tenant reads about a failed connection names the host from the config, never the address behind it."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from services.chassis.networks import parse_networks
from services.delivery.destinations import destinations
from services.delivery.destinations.contract import DestinationError
from services.delivery.destinations.egress import Egress, Rules
from tests.contract.destinations.payloads import MemoryNotes

ADDRESS = "127.0.0.9"
HOST = "files.shop.example"
S3 = {"bucket": "exports", "access_key_id": "AKIA", "secret_access_key": "secret"}


async def lookup(host: str, port: int) -> Sequence[str]:
    return [ADDRESS]


async def refusal(kind: str, config: Mapping[str, Any], egress: Egress) -> DestinationError:
    destination = destinations()[kind]
    with pytest.raises(DestinationError) as failed:
        async with destination.open(destination.Config.model_validate(config), egress, MemoryNotes()):
            pass
    return failed.value


@pytest.fixture
def port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as unused:
        unused.bind((ADDRESS, 0))
        return int(unused.getsockname()[1])


@pytest.mark.parametrize("allow", ["", "127.0.0.0/8"], ids=["forbidden", "refused"])
@pytest.mark.parametrize("kind", ["sftp", "ftp", "s3", "s3 with http"])
async def test_no_error_contains_the_resolved_address(kind: str, allow: str, port: int) -> None:
    config: dict[str, Any] = {"host": HOST, "port": port, "username": "u", "password": "p"}
    if kind.startswith("s3"):
        config = {**S3, "endpoint_url": f"http{'' if 'http' in kind else 's'}://{HOST}:{port}"}
    error = await refusal(kind.split()[0], config, Egress(Rules(parse_networks(allow)), lookup))
    assert error.code == ("unreachable" if allow else "egress_forbidden")
    assert HOST in error.message or kind == "ftp"
    assert ADDRESS not in error.message


async def test_keys_do_not_travel_unencrypted_over_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def public(host: str, port: int) -> Sequence[str]:
        return ["1.1.1.1"]

    def connect(*_: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", connect)
    config = {**S3, "endpoint_url": f"http://{HOST}", "session_token": "token"}
    error = await refusal("s3", config, Egress(Rules(), public))
    assert (error.code, error.transient) == ("unencrypted", False)
    literal = await refusal("s3", {**S3, "endpoint_url": "http://1.1.1.1"}, Egress(Rules(), public))
    assert literal.code == "unencrypted"
