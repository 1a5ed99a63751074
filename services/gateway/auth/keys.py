"""The command that makes, lists, checks and revokes API keys: `python -m services.gateway.auth.keys`."""

import argparse
import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.chassis import mongo
from services.chassis.faults import Fault
from services.chassis.settings import ProcessSettings
from services.gateway.auth.api_keys import ApiKey, check_scopes, digest, new_secret, parse
from services.gateway.auth.key_cache import check_key
from services.gateway.auth.key_store import KeyStore

# As the exporter has it: the name is part of a database's name.
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,37}")
SELECTION_MS = 5_000


async def create(store: KeyStore, asked: argparse.Namespace) -> int:
    """Make a key and show it, once."""
    secret, now = new_secret(), datetime.now(UTC)
    expires_at = None if asked.days is None else now + timedelta(days=asked.days)
    key = ApiKey(secret.id, asked.tenant, asked.name, asked.scopes, digest(secret.secret), now, expires_at)
    await store.add(key)
    if asked.quiet:
        say(str(secret))
    else:
        say(f"{secret}\n\nThis is the only time the key is shown. {describe(key, now)}")
    return 0


async def show_list(store: KeyStore, asked: argparse.Namespace) -> int:
    """One line a key."""
    now = datetime.now(UTC)
    for key in await store.all(asked.tenant):
        say(describe(key, now))
    return 0


async def check(store: KeyStore, asked: argparse.Namespace) -> int:
    """Whether the key in a file still counts: exit code 0 or 1."""
    try:
        key = await check_key(store, asked.key_file.read_text().strip())
    except (Fault, OSError) as exc:
        return complain(str(exc))
    say(describe(key, datetime.now(UTC)))
    return 0


async def revoke(store: KeyStore, asked: argparse.Namespace) -> int:
    """End a key, given by its id or whole."""
    whole = parse(asked.key)
    key = await store.revoke(whole.id if whole else asked.key, datetime.now(UTC))
    if key is None:
        return complain(f"there is no key {asked.key!r}; give the id that `list` shows")
    say(describe(key, datetime.now(UTC)))
    return 0


def describe(key: ApiKey, now: datetime) -> str:
    """A key in one line, without its secret."""
    if key.revoked_at is not None:
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
    elif key.expires_at is not None:
        state = f"{'expired' if key.is_expired(now) else 'expires'} {key.expires_at:%Y-%m-%d %H:%M}"
    else:
        state = "active"
    return f"{key.id}  tenant {key.tenant}  scopes {','.join(sorted(key.scopes))}  {state}  {key.name}".rstrip()


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201  this is a command


def complain(text: str) -> int:
    """Say what is wrong; the exit code for it."""
    print(text, file=sys.stderr)  # noqa: T201  this is a command
    return 1


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise argparse.ArgumentTypeError("a tenant is 1 to 38 of a-z, 0-9, _ and -, beginning with a letter or digit")
    return text


def _scopes(text: str) -> frozenset[str]:
    try:
        return check_scopes(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError("must be a number of days above 0 and up to 36500")
    return days


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m services.gateway.auth.keys", description="API keys of the gateway.")
    commands = made.add_subparsers(required=True)
    one = commands.add_parser("create", help="make a key and show it once")
    one.add_argument("--tenant", type=_tenant, default="default")
    one.add_argument("--scopes", type=_scopes, default=frozenset("*"), help="comma-separated; * for all")
    one.add_argument("--name", default="", help="what it is for")
    one.add_argument("--days", type=_days, help="it ends by itself after so many days")
    one.add_argument("--quiet", action="store_true", help="print the key and nothing else")
    one.set_defaults(act=create)
    one = commands.add_parser("list", help="show all keys, without their secrets")
    one.add_argument("--tenant", type=_tenant)
    one.set_defaults(act=show_list)
    one = commands.add_parser("check", help="whether the key in a file counts")
    one.add_argument("--key-file", type=Path, required=True)
    one.set_defaults(act=check)
    one = commands.add_parser("revoke", help="end a key")
    one.add_argument("key", help="its id")
    one.set_defaults(act=revoke)
    return made


async def _act(act: Callable[[KeyStore, argparse.Namespace], Awaitable[int]], asked: argparse.Namespace) -> int:
    client = mongo.connect(ProcessSettings().mongodb_uri, app="keys", selection_ms=SELECTION_MS)
    try:
        return await act(KeyStore(client["gateway"]), asked)
    except Fault as exc:
        return complain(f"{exc.message} (MONGODB_URI says where it is)")
    finally:
        client.close()


def main() -> int:
    """Exit code 0; 1 when it did not work; 2 for a wrong command line."""
    asked = parser().parse_args()
    return asyncio.run(_act(asked.act, asked))


if __name__ == "__main__":
    sys.exit(main())
