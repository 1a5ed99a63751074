"""`catalog-exports login` and `logout`: keep the API key, so that no other command needs it."""

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from catalog_exports.cli.credentials import Login
from catalog_exports.cli.session import session
from catalog_exports.client.sync.client import CatalogExports

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def login(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Of the gateway, such as https://exports.example.com.")],
    file: Annotated[
        bool, typer.Option("--file", help="Keep the key in a file of mode 600, even if there is a keyring.")
    ] = False,
) -> None:
    """Check an API key and keep it. The key is asked for, or read from stdin if that is not a terminal."""
    run = session(ctx)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise typer.BadParameter(f"{url!r} is not a URL: write https://exports.example.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        run.screen.note("warning: the key is sent unencrypted: use https")
    key = typer.prompt("API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not key.strip():
        raise typer.BadParameter("there is no API key on stdin")
    found = Login(url.rstrip("/").removesuffix("/api/v1"), key.strip())
    with CatalogExports(found.url, found.key) as client:
        client.limits()  # every key may ask for them
    where = run.login_store(use_keyring=not file).save(found)
    run.screen.note(f"logged in to {found.url}; the key is in {where}")


def logout(ctx: typer.Context) -> None:
    """Forget the kept API key; it stays valid."""
    run = session(ctx)
    run.screen.note("logged out" if run.login_store().forget() else "there was no login")
