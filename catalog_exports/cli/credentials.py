"""Keeps the URL and the API key of `login`: the key in the system's keyring, or in a file that only its user reads."""

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from catalog_exports.client.errors import CatalogExportsError

SERVICE = "catalog-exports"
PRIVATE = 0o600


class NoLogin(CatalogExportsError):
    """There is no API key, or what `login` has kept cannot be used."""


class Keyring(Protocol):
    """The part of a backend of `keyring` that is used."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


@dataclass(frozen=True)
class Login:
    """Where to send requests, and with which key."""

    url: str
    key: str


class LoginStore:
    """A file with the URL, and with the key if there is no keyring.

    Args:
        ring: None: keep the key in the file.
    """

    def __init__(self, folder: Path, ring: Keyring | None) -> None:
        self.file = folder / "login.json"
        self._ring = ring

    def save(self, login: Login) -> str:
        """Keep a login in place of an earlier one; returns where the key is."""
        self.forget()
        in_ring = self._saved_in_ring(login)
        self._write({"url": login.url} if in_ring else {"url": login.url, "key": login.key})
        return "the system's keyring" if in_ring else str(self.file)

    def load(self) -> Login | None:
        """The login; None: there is none.

        Raises:
            NoLogin: others can read the file, or it has no key.
        """
        kept = self._read()
        if kept is None:
            return None
        url, key = kept.get("url", ""), kept.get("key")
        if key is None:
            key = self._ring.get_password(SERVICE, url) if self._ring else None
        if not url or not key:
            raise NoLogin("the key of the last login is not in the keyring: run `catalog-exports login` again")
        return Login(url, key)

    def forget(self) -> bool:
        """Remove the login; False: there was none."""
        with suppress(NoLogin):
            if (kept := self._read()) and self._ring and "key" not in kept:
                with suppress(Exception):  # the backend's own errors: it has no such key
                    self._ring.delete_password(SERVICE, kept.get("url", ""))
        found = self.file.exists()
        self.file.unlink(missing_ok=True)
        return found

    def _saved_in_ring(self, login: Login) -> bool:
        if self._ring is None:
            return False
        try:
            self._ring.set_password(SERVICE, login.url, login.key)
        except Exception:  # noqa: BLE001  whatever is wrong with the keyring, the file works
            return False
        return True

    def _read(self) -> dict[str, str] | None:
        try:
            mode = stat.S_IMODE(self.file.stat().st_mode)
            text = self.file.read_text()
        except FileNotFoundError:
            return None
        if mode & 0o077 and os.name == "posix":
            raise NoLogin(f"{self.file} can be read by others: run `chmod 600 {self.file}`, and consider a new key")
        try:
            kept = json.loads(text)
        except ValueError:
            kept = None
        if not isinstance(kept, dict):
            raise NoLogin(f"{self.file} is damaged: run `catalog-exports login` again")
        return kept

    def _write(self, kept: dict[str, str]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w") as file:
            json.dump(kept, file)
        new.replace(self.file)


def system_keyring() -> Keyring | None:
    """The keyring of this system; None: there is none, as in most containers."""
    import keyring  # takes a tenth of a second

    backend = keyring.get_keyring()
    return cast(Keyring, backend) if backend.priority >= 1 else None
