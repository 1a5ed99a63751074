"""SSH keys as people write them into a config: a private key with its passphrase, a host's key or fingerprint. Pure.

Keys come from tenants, so their number of key derivation rounds is limited.
"""

import base64
import binascii
import re
from dataclasses import dataclass

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket

FINGERPRINT = "SHA256:"
MAX_NEW_ROUNDS = 64
"""Of bcrypt, about 20 ms each, for keys in a request; ssh-keygen uses 16 or 24 by default."""
MAX_ROUNDS = 128
"""For keys that older versions accepted and stored encrypted."""
_OPENSSH = re.compile(
    r"\s*-----BEGIN OPENSSH PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*"
)
_MAGIC = b"openssh-key-v1\0"
_CONVERT = "change it with `ssh-keygen -p -a 16 -f <file>` and send it again"


def private_key(text: str, passphrase: str | None, max_rounds: int) -> asyncssh.SSHKey:
    """The private key of a PEM or OpenSSH text; the passphrase is ignored if the key is not encrypted.

    Args:
        max_rounds: of key derivation.

    Raises:
        ValueError: why it cannot be read, without any part of it.
    """
    if not text.lstrip().startswith("-----BEGIN "):
        raise ValueError("is not a private key: send the whole file, from -----BEGIN to the end of the -----END line")
    if passphrase is not None:
        _refuse_slow(text, max_rounds)
    try:
        return asyncssh.import_private_key(text, passphrase)
    except asyncssh.KeyEncryptionError as exc:
        raise ValueError("cannot be opened with this passphrase") from exc
    except asyncssh.KeyImportError as exc:
        if "Passphrase" in str(exc):
            raise ValueError("is encrypted: send its passphrase as well") from exc
        raise ValueError("cannot be read: it is not a private key, or is damaged") from exc


def _refuse_slow(text: str, max_rounds: int) -> None:
    if "ENCRYPTED PRIVATE KEY" in text:
        raise ValueError(f"is encrypted in an unsupported format (PKCS#8); {_CONVERT}")
    if "OPENSSH PRIVATE KEY" in text and _rounds(text) > max_rounds:
        raise ValueError(f"needs more than {max_rounds} rounds of key derivation; {_CONVERT}")


def _rounds(text: str) -> int:
    """Rounds of key derivation of an OpenSSH key (PROTOCOL.key of OpenSSH); 0 if it is not encrypted."""
    whole = _OPENSSH.fullmatch(text)
    if whole is None:
        raise ValueError("cannot be read: the text contains more than the key")
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
        """Whether this is the pinned key."""
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
