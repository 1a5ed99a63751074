"""Valid and invalid configs of SFTP; errors contain no secrets."""

import base64
import time
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from services.delivery.destinations.contract import InvalidField
from services.delivery.destinations.sftp.destination import SftpConfig
from services.delivery.destinations.sftp.keys import host_pin

KEY = asyncssh.generate_private_key("ssh-ed25519")
PLAIN = KEY.export_private_key().decode()
LOCKED = KEY.export_private_key(passphrase="open sesame", rounds=16, ignore_few_rounds=True).decode()
PUBLIC = KEY.export_public_key().decode().strip()
FINGERPRINT = KEY.get_fingerprint()


def config(**given: Any) -> SftpConfig:
    return SftpConfig.model_validate({"host": "sftp.example.com", "username": "shop", **given})


def problem(**given: Any) -> str:
    """Field and message of the error."""
    try:
        config(**given).prepared()
    except InvalidField as exc:
        return f"{exc.field}: {exc.message}"
    except ValidationError as exc:
        (found,) = exc.errors(include_input=False, include_url=False)
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    raise AssertionError("the config is valid")


def test_a_config_has_the_usual_port_and_compares_contents() -> None:
    made = config(password="x")
    assert (made.port, made.path, made.verify, made.on_conflict) == (22, ".", "content", "overwrite")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "password or private_key is required"),
        ({"password": "x", "passphrase": "y"}, "without a private_key"),
        ({"private_key": "open sesame"}, "private_key: is not a private key"),
        ({"private_key": PUBLIC}, "private_key: is not a private key"),
        ({"private_key": PLAIN[:150]}, "private_key: cannot be read"),
        ({"private_key": LOCKED}, "private_key: is encrypted"),
        ({"private_key": LOCKED, "passphrase": "close sesame"}, "cannot be opened with this passphrase"),
        ({"password": "x", "host_key": "SHA256:abc"}, "host_key: Value error, must be SHA256:"),
        ({"password": "x", "host_key": "MD5:aa:bb"}, "host_key: Value error, must be a fingerprint"),
        ({"password": "x", "host_key": "ssh-ed25519 AAAA"}, "host_key: Value error, must be a fingerprint"),
        ({"password": "x", "path": "~/in"}, "path: Value error, is already relative to the login folder"),
        ({"password": "x", "path": "a\0b"}, "path: String should match pattern"),
        ({"password": "x", "port": 0}, "port: "),
        ({"password": "x", "verify": "never"}, "verify: "),
        ({"password": "x", "known_hosts": None}, "known_hosts: Extra inputs"),
    ],
)
def test_mistakes_are_reported_with_their_field_and_without_secrets(given: dict[str, Any], words: str) -> None:
    said = problem(**given)
    assert words in said
    assert "sesame" not in said
    assert "BEGIN OPENSSH" not in said


@pytest.mark.parametrize("given", [{"private_key": PLAIN}, {"private_key": LOCKED, "passphrase": "open sesame"}])
def test_a_private_key_is_stored_decrypted_so_that_attempts_need_no_derivation(given: dict[str, str]) -> None:
    made = config(**given, path="in")
    stored = made.prepared()
    assert stored.passphrase is None
    assert stored.model_fields_set == {"host", "username", "path", "private_key"}
    assert stored.private_key is not None
    assert asyncssh.import_private_key(stored.private_key.get_secret_value()) == KEY
    assert "PRIVATE KEY" not in repr(made) + repr(stored)


def test_a_key_that_an_older_version_stored_encrypted_is_valid() -> None:
    slow = KEY.export_private_key(passphrase="x", rounds=100, ignore_few_rounds=True).decode()
    assert config(private_key=slow, passphrase="x").passphrase is not None
    assert "needs more than 64 rounds" in problem(private_key=slow, passphrase="x")


def test_a_key_with_too_many_rounds_is_refused_without_decrypting_it() -> None:
    body = bytearray(base64.b64decode("".join(LOCKED.splitlines()[1:-1])))
    place = body.index((16).to_bytes(4, "big"), body.index(b"bcrypt") + 30)
    body[place : place + 4] = b"\xff\xff\xff\xff"
    text = (
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{base64.encodebytes(body).decode()}-----END OPENSSH PRIVATE KEY-----\n"
    )
    began = time.process_time()
    assert "needs more than 64 rounds" in problem(private_key=text, passphrase="open sesame")
    assert "more than the key" in problem(private_key=LOCKED + text, passphrase="open sesame")
    assert time.process_time() - began < 5


def test_the_error_for_an_encrypted_key_of_another_format_says_how_to_convert_it() -> None:
    text = KEY.export_private_key("pkcs8-pem", passphrase="open sesame").decode()
    assert "ssh-keygen -p" in problem(private_key=text, passphrase="open sesame")


@pytest.mark.parametrize(
    "text",
    [
        FINGERPRINT,
        FINGERPRINT + "=",
        f"  {FINGERPRINT}\n",
        PUBLIC,
        f"{PUBLIC} shop@example",
        f"sftp.example.com {PUBLIC}",
    ],
    ids=["fingerprint", "padded", "spaces", "public key", "with comment", "line of ssh-keyscan"],
)
def test_a_host_key_may_be_written_as_tools_show_it(text: str) -> None:
    assert config(password="x", host_key=text).host_key is not None
    pin = host_pin(text)
    assert pin.fingerprint == FINGERPRINT
    assert pin.fits(KEY)
    assert not pin.fits(asyncssh.generate_private_key("ssh-ed25519"))
