"""`catalog-exports profiles`: exports that are saved under a name, and run again."""

from pathlib import Path
from typing import Annotated

import typer

from catalog_exports.cli.export import Output, Timeout, check_output, export_options
from catalog_exports.cli.following import download, follow
from catalog_exports.cli.screen import instant
from catalog_exports.cli.session import AsJson, Limit, session

app = typer.Typer(no_args_is_help=True, help="Saved exports: list, show, create, run, delete.")
ProfileId = Annotated[str, typer.Argument(help="Id of the profile.", metavar="ID")]
Filter = Annotated[list[str] | None, typer.Option("--filter", help="As in `export`.")]
Fields = Annotated[list[str] | None, typer.Option(help="Columns, in this order.")]
Option = Annotated[list[str] | None, typer.Option("--option", help="Any other option of the format.")]
Options = Annotated[Path | None, typer.Option(help="JSON file with options, - for stdin; the others go on top.")]


@app.command("list")
def show_all(ctx: typer.Context, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List profiles, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        found = list(client.profiles.list(limit=limit))
    heading = ("id", "changed", "format", "version", "name")
    rows = [(one.id, instant(one.updated_at), one.format, str(one.version), one.name) for one in found]
    run.screen.table(found, heading, rows)


@app.command()
def show(
    ctx: typer.Context,
    profile_id: ProfileId,
    version: Annotated[int | None, typer.Option(min=1, help="An earlier version.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one profile."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        one = client.profiles.get(profile_id) if version is None else client.profiles.version(profile_id, version)
    pairs: list[tuple[str, object]] = [
        ("id", one.id),
        ("name", one.name),
        ("version", one.version),
        ("changed", instant(one.updated_at)),
        ("format", one.format),
        ("options", one.options),
    ]
    run.screen.fields(one, pairs)


@app.command()
def create(
    ctx: typer.Context,
    format: Annotated[str, typer.Argument(help="csv, json, excel, zip, or another format of the server.")],
    name: Annotated[str, typer.Option(help="Name in lists.")],
    filter: Filter = None,
    fields: Fields = None,
    option: Option = None,
    options: Options = None,
    as_json: AsJson = False,
) -> None:
    """Save a format and options under a name."""
    run = session(ctx, as_json=as_json)
    body = export_options(options, option, filter, {"include_fields": fields})
    with run.client() as client:
        made = client.profiles.create(name, format, body)
    run.screen.result(made, made.id)


@app.command("run")
def run_now(
    ctx: typer.Context,
    profile_id: ProfileId,
    filter: Filter = None,
    fields: Fields = None,
    option: Option = None,
    options: Options = None,
    output: Output = None,
    timeout: Timeout = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job and leave.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and options give the same export, also in another run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export with a profile, wait, download the file and verify its SHA-256.

    Options replace those of the profile for this export; null (`--option filters=null`) removes one.
    """
    run = session(ctx, as_json=as_json)
    check_output(output, as_json=as_json)
    body = export_options(options, option, filter, {"include_fields": fields})
    with run.client() as client:
        job = client.profiles.run(profile_id, body, idempotency_key=idempotency_key)
        if no_wait:
            run.screen.result(job.data, job.id)
            return
        follow(run.screen, job, timeout)
        download(run.screen, job, output)


@app.command()
def delete(
    ctx: typer.Context,
    profile_id: ProfileId,
    force: Annotated[bool, typer.Option("--force", help="Also if schedules export it.")] = False,
) -> None:
    """Delete a profile with its versions; its exports stay."""
    run = session(ctx)
    with run.client() as client:
        client.profiles.delete(profile_id, force=force)
    run.screen.note(f"{profile_id} is deleted")
