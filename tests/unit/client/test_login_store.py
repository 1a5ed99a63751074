"""The key of `login` is in the keyring, or in a file that only its user can read."""

import json
from pathlib import Path

import pytest

from catalog_exports.cli.credentials import Login, LoginStore, NoLogin

LOGIN = Login("https://exports.example.com", "cx_a_key")


class Ring:
    """A keyring in memory; a locked one refuses to take a key."""

    def __init__(self, *, is_locked: bool = False) -> None:
        self.is_locked = is_locked
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise RuntimeError("locked")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


def test_with_a_keyring_the_file_has_no_key(tmp_path: Path) -> None:
    ring = Ring()
    store = LoginStore(tmp_path / "config", ring)
    assert store.save(LOGIN) == "the system's keyring"
    assert json.loads(store.file.read_text()) == {"url": LOGIN.url}
    assert store.load() == LOGIN
    assert store.forget()
    assert (ring.kept, store.load(), store.forget()) == ({}, None, False)


@pytest.mark.parametrize("ring", [None, Ring(is_locked=True)])
def test_without_a_keyring_the_file_is_private(tmp_path: Path, ring: Ring | None) -> None:
    store = LoginStore(tmp_path / "config", ring)
    store.save(Login("http://earlier", "cx_earlier"))
    assert store.save(LOGIN) == str(store.file)
    assert (store.file.stat().st_mode & 0o777, store.file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert store.load() == LOGIN
    assert [one.name for one in store.file.parent.iterdir()] == ["login.json"]


def test_a_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    store = LoginStore(tmp_path, None)
    store.save(LOGIN)
    store.file.chmod(0o640)
    with pytest.raises(NoLogin, match="chmod 600"):
        store.load()
    store.save(LOGIN)
    assert store.load() == LOGIN


@pytest.mark.parametrize("text", ["", "[]", '{"url": "https://exports.example.com"}', '{"key": "x"}'])
def test_a_damaged_login_is_told(tmp_path: Path, text: str) -> None:
    store = LoginStore(tmp_path, Ring())
    store.file.write_text(text)
    store.file.chmod(0o600)
    with pytest.raises(NoLogin, match="login` again"):
        store.load()
