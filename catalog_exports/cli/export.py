"""`catalog-exports export`: one command from the request to the verified file."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog_exports.cli.filters import BadWord, filters, members, words
from catalog_exports.cli.following import STDOUT, download, follow
from catalog_exports.cli.session import AsJson, session

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File or folder; - for stdout. Default: the export's own name, here."),
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Seconds to wait for the export. Default: until it has ended.")
]


def export(
    ctx: typer.Context,
    format: Annotated[
        str, typer.Argument(help="csv, json, xml, excel, parquet, zip, or another format of the server.")
    ],
    filter: Annotated[
        list[str] | None,
        typer.Option("--filter", help="'price>=30', 'brand=Acme', 'brand in Acme,Zen', 'name contains bag'; all hold."),
    ] = None,
    fields: Annotated[list[str] | None, typer.Option(help="Columns, in this order: sku,price,attributes.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Columns to leave out.")] = None,
    order_by: Annotated[list[str] | None, typer.Option(help="brand,-price")] = None,
    file_name: Annotated[str | None, typer.Option(help="Name on the server and at platforms, a template.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Any other option: utf8_bom=false, 'delimiter=;'.")
    ] = None,
    options: Annotated[
        Path | None, typer.Option(help="JSON file with all options, - for stdin; the others go on top.")
    ] = None,
    platform: Annotated[list[str] | None, typer.Option(help="Deliver to these platforms only (ids).")] = None,
    no_delivery: Annotated[bool, typer.Option("--no-delivery", help="Deliver to no platform.")] = False,
    output: Output = None,
    timeout: Timeout = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job and leave.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and options give the same export, also in another run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export products, wait, download the file and verify its SHA-256."""
    run = session(ctx, as_json=as_json)
    check_output(output, as_json=as_json)
    lists = {"include_fields": fields, "exclude_fields": exclude, "order_by": order_by, "platform_ids": platform}
    body = export_options(options, option, filter, lists)
    if file_name is not None:
        body["file_name"] = file_name
    if no_delivery:
        body["platform_ids"] = []
    with run.client() as client:
        job = client.exports.create(format, body, idempotency_key=idempotency_key)
        if no_wait:
            run.screen.result(job.data, job.id)
            return
        follow(run.screen, job, timeout)
        download(run.screen, job, output)


def check_output(output: Path | None, *, as_json: bool) -> None:
    """Refuse an output that cannot work, before anything is exported."""
    if output == STDOUT:
        if as_json:
            raise typer.BadParameter("--json and --output - would both write to stdout")
        if sys.stdout.isatty():
            raise typer.BadParameter("--output - writes the file to stdout, which is a terminal: redirect it")
    elif output is not None and not (output.is_dir() or output.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{output}: there is no folder {output.absolute().parent}")


def export_options(
    path: Path | None,
    assignments: Sequence[str] | None,
    conditions: Sequence[str] | None,
    lists: Mapping[str, Sequence[str] | None],
) -> dict[str, Any]:
    """The options of an export from a file, from `--option`, from `--filter` and from options that are lists.

    Raises:
        typer.BadParameter: one of them is malformed.
    """
    try:
        body = {**read_options(path), **members(assignments or (), is_json=True)}
        if conditions:
            stored = body.get("filters", {})
            if not isinstance(stored, dict):
                raise BadWord("filters is not a JSON object")
            body["filters"] = {**stored, **filters(conditions)}
    except BadWord as exc:
        raise typer.BadParameter(str(exc)) from exc
    return body | {name: words(texts) for name, texts in lists.items() if texts}


def read_options(path: Path | None) -> dict[str, Any]:
    """A JSON object from a file, or from stdin for `-`.

    Raises:
        BadWord: it cannot be read, or is not a JSON object.
    """
    if path is None:
        return {}
    try:
        found = json.loads(sys.stdin.read() if path == STDOUT else path.read_text())
    except OSError as exc:
        raise BadWord(f"{path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise BadWord(f"{path} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadWord(f"{path} is not a JSON object")
    return found
