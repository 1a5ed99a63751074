"""What all commands share: the client with the user's key, and the screen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from catalog_exports.cli.credentials import LoginStore, NoLogin, system_keyring
from catalog_exports.cli.screen import Screen
from catalog_exports.cli.settings import KEY, URL, Settings
from catalog_exports.client.sync.client import CatalogExports


@dataclass
class Session:
    """One run of the program.

    Attributes:
        url: that the user gave with this command.
    """

    settings: Settings
    screen: Screen = field(default_factory=Screen)
    url: str = ""

    def login_store(self, *, use_keyring: bool = True) -> LoginStore:
        """Where `login` keeps the key."""
        return LoginStore(Path(typer.get_app_dir("catalog-exports")), system_keyring() if use_keyring else None)

    @contextmanager
    def client(self) -> Iterator[CatalogExports]:
        """A client with the user's key. A kept key is only sent to the server that it was kept for.

        Raises:
            NoLogin: there is no key.
        """
        url, key = self.url or self.settings.url, self.settings.key
        if not url or not key:
            login = self.login_store().load()
            url = url or (login.url if login else "")
            key = key or (login.key if login and same_server(login.url, url) else "")
        if not url or not key:
            missing = f"key for {url}" if url else "server"
            raise NoLogin(f"there is no {missing}: run `catalog-exports login URL`, or set {URL} and {KEY}")
        with CatalogExports(url, key) as client:
            yield client


def same_server(one: str, other: str) -> bool:
    """Whether two URLs are the same gateway."""
    return one.rstrip("/") == other.rstrip("/")


def session(ctx: typer.Context, *, as_json: bool = False) -> Session:
    """The session of a command."""
    found = ctx.obj
    assert isinstance(found, Session)  # noqa: S101  set by `run`
    found.screen.as_json = as_json
    return found


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; errors too.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="The maximum number of them, newest first.")]
