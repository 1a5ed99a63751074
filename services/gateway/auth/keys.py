"""The command that creates, lists, checks and revokes API keys: `python -m services.gateway.auth.keys`."""

import argparse
import asyncio
import getpass
import os
import re
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.audited import KEY_CREATE, KEY_REVOKE
from services.chassis import mongo
from services.chassis.audit.entry import Entry, Origin, resources_of
from services.chassis.audit.log import AuditLog, audit_log
from services.chassis.faults import Fault
from services.chassis.mongo import Database
from services.chassis.settings import ProcessSettings
from services.chassis.telemetry import logs
from services.gateway.auth.api_keys import ApiKey, check_scopes, digest, new_secret, parse
from services.gateway.auth.key_cache import check_key
from services.gateway.auth.key_store import KeyStore

# As in the exporter: the tenant is part of the name of a database.
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,37}")
SELECTION_MS = 5_000


class RecordedKeys(KeyStore):
    """Keys whose changes are in the audit log, with the operator as the caller."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        super().__init__(database)
        self._audit = audit

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        named = ("scopes", *(("name",) if key.name else ()), *(("expires_at",) if key.expires_at else ()))
        async with self._recorded(KEY_CREATE, key, named):
            await super().add(key)

    async def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Revoke a key; None: there is no such key."""
        key = await self.get(key_id)
        if key is None:
            return None
        async with self._recorded(KEY_REVOKE, key, ()):
            return await super().revoke(key_id, at)

    @asynccontextmanager
    async def _recorded(self, action: str, key: ApiKey, fields: tuple[str, ...]) -> AsyncIterator[None]:
        entry = Entry(
            id=str(uuid.uuid4()),
            at=self._audit.now(),
            tenant=key.tenant,
            action=action,
            origin=Origin("operator", request_id=uuid.uuid4().hex, address=_operator()),
            resources=resources_of([("key", key.id)]),
            fields=fields,
        )
        await self._audit.record(entry)
        with self._audit.concluding(entry):
            yield


def _operator() -> str:
    """Who runs the command, as far as the system knows: user and host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


async def create(store: KeyStore, args: argparse.Namespace) -> int:
    """Create a key and print it, once."""
    secret, now = new_secret(), datetime.now(UTC)
    expires_at = None if args.days is None else now + timedelta(days=args.days)
    key = ApiKey(secret.id, args.tenant, args.name, args.scopes, digest(secret.secret), now, expires_at)
    await store.add(key)
    if args.quiet:
        _print(str(secret))
    else:
        _print(f"{secret}\n\nThis is the only time the key is shown. {describe(key, now)}")
    return 0


async def show_list(store: KeyStore, args: argparse.Namespace) -> int:
    """Print one line per key."""
    now = datetime.now(UTC)
    for key in await store.all(args.tenant):
        _print(describe(key, now))
    return 0


async def check(store: KeyStore, args: argparse.Namespace) -> int:
    """Exit code 0 if the key in a file is valid, otherwise 1."""
    try:
        key = await check_key(store, args.key_file.read_text().strip())
    except (Fault, OSError) as exc:
        return _fail(str(exc))
    _print(describe(key, datetime.now(UTC)))
    return 0


async def revoke(store: KeyStore, args: argparse.Namespace) -> int:
    """Revoke a key, given by its id or in full."""
    secret = parse(args.key)
    key = await store.revoke(secret.id if secret else args.key, datetime.now(UTC))
    if key is None:
        return _fail(f"there is no key {args.key!r}; `list` shows the ids")
    _print(describe(key, datetime.now(UTC)))
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


def _print(text: str) -> None:
    """Print and flush."""
    print(text, flush=True)  # noqa: T201  this is a command


def _fail(text: str) -> int:
    """Print an error; returns the exit code."""
    print(text, file=sys.stderr)  # noqa: T201  this is a command
    return 1


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "a tenant is 1 to 38 characters of a-z, 0-9, _ and -, and starts with a letter or digit"
        )
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
    commands_parser = argparse.ArgumentParser(
        prog="python -m services.gateway.auth.keys", description="API keys of the gateway."
    )
    commands = commands_parser.add_subparsers(required=True)
    one = commands.add_parser("create", help="create a key and print it once")
    one.add_argument("--tenant", type=_tenant, default="default")
    one.add_argument("--scopes", type=_scopes, default=frozenset("*"), help="comma-separated; * for all")
    one.add_argument("--name", default="", help="what it is for")
    one.add_argument("--days", type=_days, help="the key expires after this many days")
    one.add_argument("--quiet", action="store_true", help="print only the key")
    one.set_defaults(act=create)
    one = commands.add_parser("list", help="list all keys, without their secrets")
    one.add_argument("--tenant", type=_tenant)
    one.set_defaults(act=show_list)
    one = commands.add_parser("check", help="check whether the key in a file is valid")
    one.add_argument("--key-file", type=Path, required=True)
    one.set_defaults(act=check)
    one = commands.add_parser("revoke", help="revoke a key")
    one.add_argument("key", help="its id")
    one.set_defaults(act=revoke)
    return commands_parser


async def _act(act: Callable[[KeyStore, argparse.Namespace], Awaitable[int]], args: argparse.Namespace) -> int:
    client = mongo.connect(ProcessSettings().mongodb_uri, app="keys", selection_ms=SELECTION_MS)
    try:
        async with audit_log(client) as audit:
            return await act(RecordedKeys(client["gateway"], audit), args)
    except Fault as exc:
        return _fail(f"{exc.message} (MONGODB_URI says where MongoDB is)")
    finally:
        client.close()


def main() -> int:
    """Exit code 0; 1 on failure; 2 for a wrong command line."""
    args = parser().parse_args()
    logs.configure("keys", level="WARNING", form="console")  # to stderr: stdout is for the key
    return asyncio.run(_act(args.act, args))


if __name__ == "__main__":
    sys.exit(main())
