"""SSH keys as people write them into a config: a private key with its passphrase, a host's key or fingerprint. Pure.

What a tenant writes here is parsed by the service, so a key cannot ask for minutes of key derivation.
"""

import base64
import binascii
import re
from dataclasses import dataclass

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket

FINGERPRINT = "SHA256:"
MOST_ROUNDS = 128
"""Of bcrypt, about 20 ms each; ssh-keygen makes 16 or 24, `-a 100` is what careful people use."""
_OPENSSH = re.compile(
    r"\s*-----BEGIN OPENSSH PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*"
)
_MAGIC = b"openssh-key-v1\0"
_CONVERT = "change it with `ssh-keygen -p -a 16 -f <file>` and send it again"


def private_key(text: str, passphrase: str | None) -> asyncssh.SSHKey:
    """The private key of a PEM or OpenSSH text; one that is not encrypted needs no passphrase.

    Raises:
        ValueError: why it cannot be read, without any part of it.
    """
    if not text.lstrip().startswith("-----BEGIN "):
        raise ValueError("is no private key: send the whole file, from -----BEGIN to the end of the -----END line")
    if passphrase is not None:
        _refuse_slow(text)
    try:
        return asyncssh.import_private_key(text, passphrase)
    except asyncssh.KeyEncryptionError as exc:
        raise ValueError("cannot be opened with this passphrase") from exc
    except asyncssh.KeyImportError as exc:
        if "Passphrase" in str(exc):
            raise ValueError("is encrypted: send its passphrase as well") from exc
        raise ValueError("cannot be read: it is no private key, or damaged") from exc


def _refuse_slow(text: str) -> None:
    if "ENCRYPTED PRIVATE KEY" in text:
        raise ValueError(f"is in an encrypted form that is not taken (PKCS#8); {_CONVERT}")
    if "OPENSSH PRIVATE KEY" in text and _rounds(text) > MOST_ROUNDS:
        raise ValueError(f"takes more than {MOST_ROUNDS} rounds to open; {_CONVERT}")


def _rounds(text: str) -> int:
    """Rounds of key derivation that opening this key takes (PROTOCOL.key of OpenSSH); 0: it is not encrypted."""
    whole = _OPENSSH.fullmatch(text)
    if whole is None:
        raise ValueError("cannot be read: there is something beside the key")
    try:
        packet = SSHPacket(binascii.a2b_base64(whole[1]).removeprefix(_MAGIC))
        packet.get_string()  # cipher
        if packet.get_string() != b"bcrypt":
            return 0
        options = SSHPacket(packet.get_string())
        options.get_string()  # salt
        return options.get_uint32()
    except (PacketDecodeError, binascii.Error) as exc:
        raise ValueError("cannot be read: it is damaged") from exc


@dataclass(frozen=True, slots=True)
class HostPin:
    """The one host key a server may have: the key, or only its fingerprint."""

    fingerprint: str
    """`SHA256:` and base64 without padding, as `ssh-keygen -l` shows it."""
    key: asyncssh.SSHKey | None = None

    def fits(self, key: asyncssh.SSHKey) -> bool:
        """Whether it is this key."""
        return key.get_fingerprint() == self.fingerprint


def host_pin(text: str) -> HostPin:
    """The pin of a fingerprint, a public key (`ssh-ed25519 AAAA…`) or a line of ssh-keyscan or known_hosts.

    Raises:
        ValueError: it is none of them.
    """
    text = text.strip()
    if text.startswith(FINGERPRINT):
        return HostPin(_fingerprint(text))
    for line in (text, text.partition(" ")[2]):
        try:
            key = asyncssh.import_public_key(line)
        except ValueError:
            continue
        return HostPin(key.get_fingerprint(), key)
    raise ValueError(
        "must be a fingerprint as `ssh-keygen -lf` shows it (SHA256:…), or a public key (ssh-ed25519 AAAA…)"
    )


def _fingerprint(text: str) -> str:
    encoded = text.removeprefix(FINGERPRINT).rstrip("=")
    try:
        digest = base64.b64decode(encoded + "=", validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise ValueError("must be SHA256: and 43 characters of base64")
    return FINGERPRINT + encoded
