"""SFTP: logins and the verification of the host key."""

import asyncio
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from services.delivery.destinations.contract import DestinationError
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.destinations.sftp.destination import Sftp, SftpConfig
from tests.contract.destinations.rigs._rclone import PASSWORD
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.contract.destinations.sftp_trial import MemoryNotes, Source, session
from tests.system import eventually
from tests.tcp_proxy import TcpProxy


@pytest.fixture(scope="module")
def server() -> Iterator[SftpRig]:
    rig = SftpRig()
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
def rig(server: SftpRig) -> SftpRig:
    server.clear()
    server.change_host_keys(asyncssh.generate_private_key("ssh-ed25519"))
    return server


@cache
def key_of(kind: str) -> asyncssh.SSHKey:
    """One private key of each kind, as an RSA key takes long to make."""
    return asyncssh.generate_private_key(kind)


def without_pin(rig: SftpRig) -> dict[str, Any]:
    return {name: value for name, value in rig.config().items() if name != "host_key"}


async def enter(config: dict[str, Any], pins: MemoryNotes | None = None) -> None:
    """Log in and use the session."""
    async with session(config, pins) as opened:
        assert await opened.find("nothing") is None


async def failure(config: dict[str, Any], pins: MemoryNotes | None = None) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        await enter(config, pins)
    assert PASSWORD not in str(caught.value)
    return caught.value


async def test_the_first_key_is_kept_and_another_one_is_refused_with_both_fingerprints(rig: SftpRig) -> None:
    pins = MemoryNotes()
    await enter(without_pin(rig), pins)
    await enter(without_pin(rig), pins)
    before = rig.host_keys[0].get_fingerprint()
    rig.change_host_keys(asyncssh.generate_private_key("ssh-ed25519"))
    error = await failure(without_pin(rig), pins)
    assert (error.step, error.code, error.transient) == ("connect", "host_key_changed", False)
    assert before in error.message
    assert rig.host_keys[0].get_fingerprint() in error.message
    await enter(rig.config(), pins)  # the config's fingerprint overrides the kept key


async def test_a_key_of_another_kind_is_refused_too(rig: SftpRig) -> None:
    pins = MemoryNotes()
    await enter(without_pin(rig), pins)
    rig.change_host_keys(asyncssh.generate_private_key("ecdsa-sha2-nistp256"))
    assert (await failure(without_pin(rig), pins)).code == "host_key_changed"


async def test_the_password_is_not_sent_to_a_host_with_another_key(
    rig: SftpRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(
        "tests.contract.destinations.rigs.sftp._Login.begin_auth", lambda self, username: tried.append(username)
    )
    other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    assert (await failure({**rig.config(), "host_key": other})).code == "host_key_changed"
    assert tried == []


async def test_a_key_kept_for_another_host_is_not_used(rig: SftpRig) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    pins = MemoryNotes(host_key=f"[sftp.example.com]:22 {other}")
    await enter(without_pin(rig), pins)
    assert pins.kept["host_key"].startswith(f"[127.0.0.1]:{rig.port} ssh-ed25519 ")


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
@pytest.mark.parametrize("whole", [False, True], ids=["fingerprint", "key"])
async def test_any_of_a_hosts_keys_may_be_the_pinned_one(rig: SftpRig, kind: str, whole: bool) -> None:
    rig.change_host_keys(*map(key_of, ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")))
    pin = key_of(kind).export_public_key().decode() if whole else key_of(kind).get_fingerprint()
    await enter({**rig.config(), "host_key": pin})


async def test_a_kept_key_is_requested_even_if_the_host_gets_more_keys(rig: SftpRig) -> None:
    first = key_of("ssh-rsa")
    rig.change_host_keys(first)
    pins = MemoryNotes()
    await enter(without_pin(rig), pins)
    rig.change_host_keys(asyncssh.generate_private_key("ssh-ed25519"), first)
    await enter(without_pin(rig), pins)


async def test_a_known_hosts_file_of_this_machine_is_ignored(
    rig: SftpRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    line = rig.host_keys[0].export_public_key().decode()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"* {line}")
    monkeypatch.setenv("HOME", str(tmp_path))
    other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    assert (await failure({**rig.config(), "host_key": other})).code == "host_key_changed"


async def test_keys_and_settings_of_this_machine_are_not_used(
    rig: SftpRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    rig.keys.add(key.get_fingerprint())
    (tmp_path / ".ssh").mkdir()
    key.write_private_key(tmp_path / ".ssh" / "id_ed25519")
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Ciphers no-such-cipher\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await failure(rig.wrong_credentials())).code == "wrong_credentials"
    await enter(rig.config())


async def test_a_wrong_password_is_a_permanent_error(rig: SftpRig) -> None:
    error = await failure(rig.wrong_credentials())
    assert (error.step, error.code, error.transient) == ("authenticate", "wrong_credentials", False)
    assert "battery" not in error.message


def with_key(rig: SftpRig, text: str, **more: str) -> dict[str, Any]:
    return {**{k: v for k, v in rig.config().items() if k != "password"}, "private_key": text, **more}


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp384"])
async def test_login_with_a_private_key(rig: SftpRig, kind: str) -> None:
    key = key_of(kind)
    rig.keys.add(key.get_fingerprint())
    await enter(with_key(rig, key.export_private_key().decode()))


async def test_login_with_an_encrypted_private_key(rig: SftpRig) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    rig.keys.add(key.get_fingerprint())
    text = key.export_private_key(passphrase="a b", rounds=32, ignore_few_rounds=True).decode()
    await enter(with_key(rig, text, passphrase="a b"))


async def test_a_private_key_the_server_does_not_know_is_permanent(rig: SftpRig) -> None:
    text = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    error = await failure(with_key(rig, text))
    assert (error.code, error.transient) == ("wrong_credentials", False)
    assert "private_key" in error.message


async def test_an_address_that_is_not_allowed_is_not_connected_to(rig: SftpRig) -> None:
    with pytest.raises(DestinationError) as caught:
        async with Sftp().open(SftpConfig.model_validate(rig.config()), Egress(Rules()), MemoryNotes()):
            pass
    assert (caught.value.step, caught.value.code, caught.value.transient) == ("resolve", "egress_forbidden", False)


async def test_a_name_without_an_address_is_a_transient_error(rig: SftpRig) -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    config = SftpConfig.model_validate({**rig.config(), "host": "sftp.example.com"})
    with pytest.raises(DestinationError) as caught:
        async with Sftp().open(config, Egress(Rules(), nothing), MemoryNotes()):
            pass
    assert (caught.value.step, caught.value.code, caught.value.transient) == ("resolve", "unresolved", True)


async def test_a_closed_port_is_a_transient_error(rig: SftpRig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = await failure({**rig.config(), "port": port})
    assert (error.step, error.code, error.transient) == ("connect", "unreachable", True)


async def test_a_server_that_sends_nothing_is_a_timeout(rig: SftpRig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DestinationError) as caught:
        async with (
            asyncio.timeout(10),
            session({**rig.config(), "port": silent.getsockname()[1]}, silence=0.5),
        ):
            pass
    assert (caught.value.step, caught.value.code, caught.value.transient) == ("connect", "stalled", True)


async def test_an_invalid_username_is_reported(rig: SftpRig) -> None:
    error = await failure({**rig.config(), "username": "a\0b"})
    assert (error.code, error.transient) == ("bad_login", False)


async def test_a_server_that_does_not_speak_ssh_is_a_transient_error(rig: SftpRig) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(greet, "127.0.0.1", 0)
    error = await failure({**rig.config(), "port": other.sockets[0].getsockname()[1]})
    other.close()
    assert (error.step, error.code, error.transient) == ("connect", "connection_lost", True)


async def test_a_connection_that_is_reset_immediately_is_a_transient_error(rig: SftpRig) -> None:
    # The proxy runs in its own thread: the reset may arrive before the client uses its socket.
    with TcpProxy("127.0.0.1", rig.port) as proxy:
        for sent in range(40):
            proxy.cut_after(sent, "down")
            error = await failure({**rig.config(), "port": proxy.port})
            assert (error.step, error.transient) == ("connect", True)
            assert error.code in {"unreachable", "connection_lost"}


async def test_sessions_leave_no_connection_behind(rig: SftpRig) -> None:
    async with session(rig.config()) as opened:
        await opened.send("a", Source(b"x").payload(), replace=True)
        assert rig.connections == 1
    assert (await failure(rig.wrong_credentials())).code == "wrong_credentials"
    await asyncio.to_thread(eventually, "the server has no connection", lambda: not rig.connections)
