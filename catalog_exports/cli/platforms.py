"""`catalog-exports platforms`: the places that files are delivered to."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog_exports.cli.exit_codes import ExitCode
from catalog_exports.cli.export import read_options
from catalog_exports.cli.filters import BadWord, members
from catalog_exports.cli.following import STDOUT
from catalog_exports.cli.screen import Screen, instant, is_interactive
from catalog_exports.cli.session import AsJson, Limit, session
from catalog_exports.client.models import PlatformTest

app = typer.Typer(no_args_is_help=True, help="Places that files are delivered to: list, show, add, test, delete.")
PlatformId = Annotated[str, typer.Argument(help="Id of the platform.", metavar="ID")]

ASKED = {
    "s3": ("bucket", "access_key_id"),
    "minio": ("endpoint", "bucket", "access_key"),
    "sftp": ("host", "username"),
    "ftp": ("host", "username"),
    "gdrive": ("folder_id",),
}
"""Fields that are asked for at a terminal. Of other types, everything is given with --set, --secret and --config."""
SECRETS = {"s3": "secret_access_key", "minio": "secret_key", "sftp": "password", "ftp": "password"}
INSTEAD = {"endpoint": "endpoint_url", "password": "private_key"}
"""Fields that are not asked for if the other one is given."""


@app.command("list")
def show_all(ctx: typer.Context, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List platforms, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        found = list(client.platforms.list(limit=limit))
    heading = ("id", "created", "type", "active", "name")
    rows = [
        (one.id, instant(one.created_at), one.platform_type, "yes" if one.is_active else "no", one.name)
        for one in found
    ]
    run.screen.table(found, heading, rows)


@app.command()
def show(ctx: typer.Context, platform_id: PlatformId, as_json: AsJson = False) -> None:
    """Show one platform; its secrets are masked."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        one = client.platforms.get(platform_id)
    known = [
        ("id", one.id),
        ("name", one.name),
        ("type", one.platform_type),
        ("active", "yes" if one.is_active else "no"),
    ]
    run.screen.fields(one, [*known, *(one.config or {}).items()])


@app.command()
def add(
    ctx: typer.Context,
    platform_type: Annotated[str, typer.Argument(metavar="TYPE", help="s3, minio, sftp, ftp, gdrive.")],
    name: Annotated[str, typer.Option(help="Name in lists.")],
    set: Annotated[
        list[str] | None, typer.Option("--set", help="Field of the config: host=sftp.example.com. Not for secrets.")
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", help="Secret field that is asked for, hidden: passphrase.")
    ] = None,
    secret_file: Annotated[
        list[str] | None,
        typer.Option("--secret-file", help="Secret from a file, - for stdin: private_key=FILE, credentials=FILE."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="JSON file with the config, - for stdin.")] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="Deliver nothing to it yet.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Test the connection.")] = True,
    as_json: AsJson = False,
) -> None:
    """Register a platform and test it. At a terminal, missing fields and secrets are asked for.

    Secrets are never options, because other users of a machine can see its command lines.
    """
    run = session(ctx, as_json=as_json)
    try:
        body = {**read_options(config), **members(set or (), is_json=False)}
        body |= {field: _read_secret(Path(file)) for field, file in members(secret_file or (), is_json=False).items()}
    except BadWord as exc:
        raise typer.BadParameter(str(exc)) from exc
    _ask(platform_type, body, secret or [])
    with run.client() as client:
        made = client.platforms.create(name, platform_type, body, is_active=not inactive)
        if not test:
            run.screen.result(made, made.id)
            return
        if not as_json:
            run.screen.result(made, made.id)
        result = client.platforms.test(made.id)
        if as_json:
            run.screen.result(made.model_copy(update={"test": result.as_json()}))
    if not as_json:
        _show_test(run.screen, result)
    if not result.ok:
        run.screen.note(f"the platform is registered; delete it with: catalog-exports platforms delete {made.id}")
        raise typer.Exit(ExitCode.FAILED)


@app.command("test")
def check(ctx: typer.Context, platform_id: PlatformId, as_json: AsJson = False) -> None:
    """Connect, write a file, read it back, delete it."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        result = client.platforms.test(platform_id)
    _show_test(run.screen, result)
    if not result.ok:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def delete(
    ctx: typer.Context,
    platform_id: PlatformId,
    force: Annotated[bool, typer.Option("--force", help="Even if schedules deliver to it.")] = False,
) -> None:
    """Delete a platform and its secrets; delivered files stay."""
    run = session(ctx)
    with run.client() as client:
        client.platforms.delete(platform_id, force=force)
    run.screen.note(f"{platform_id} is deleted")


def _ask(platform_type: str, body: dict[str, Any], secrets: list[str]) -> None:
    """Complete the config with what the user types."""
    interactive = is_interactive()
    if secrets and not interactive:
        raise typer.BadParameter("--secret asks at a terminal; use --secret-file NAME=FILE or NAME=-")
    if interactive:
        for field in ASKED.get(platform_type, ()):
            if field not in body and INSTEAD.get(field) not in body:
                body[field] = typer.prompt(field, err=True)
        known = SECRETS.get(platform_type)
        if known and known not in body and INSTEAD.get(known) not in body and known not in secrets:
            secrets = [known, *secrets]
        if platform_type == "gdrive" and "credentials" not in body and "credentials" not in secrets:
            body["credentials"] = _read_secret(Path(typer.prompt("credentials (JSON file)", err=True)).expanduser())
    for field in secrets:
        body[field] = typer.prompt(field, hide_input=True, err=True)


def _read_secret(path: Path) -> str:
    try:
        text = sys.stdin.read() if path == STDOUT else path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"{path}: {exc}") from exc
    # Keys are several lines; a password's line has an end that is not part of it.
    return text if text.count("\n") > 1 else text.rstrip("\r\n")


def _show_test(screen: Screen, result: PlatformTest) -> None:
    lines = [
        f"{'ok    ' if step.ok else 'failed'}  {step.step:12}  {step.seconds:.3f} s"
        + (f"  {step.message} ({step.code})" if step.message else "")
        for step in result.steps
    ]
    screen.result(result, "\n".join(lines))
