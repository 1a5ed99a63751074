"""Puts the commands together, and turns errors into messages and exit codes."""

import os
import sys
from typing import Annotated

import typer

from catalog_exports.cli import jobs, platforms, profiles, schedules, webhooks
from catalog_exports.cli.exit_codes import ExitCode, code_of
from catalog_exports.cli.export import export
from catalog_exports.cli.login import login, logout
from catalog_exports.cli.session import Session
from catalog_exports.cli.settings import URL, Settings
from catalog_exports.client.errors import CatalogExportsError

app = typer.Typer(
    name="catalog-exports",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def start(
    ctx: typer.Context,
    url: Annotated[str, typer.Option("--url", help=f"Of the gateway; default: {URL}, or that of the last login.")] = "",
) -> None:
    """Export product catalogues over the REST API of Catalog Exports."""
    ctx.obj.url = url


app.command()(export)
app.add_typer(jobs.app, name="jobs")
app.add_typer(profiles.app, name="profiles")
app.add_typer(platforms.app, name="platforms")
app.add_typer(schedules.app, name="schedules")
app.add_typer(webhooks.app, name="webhooks")
app.command()(login)
app.command()(logout)


def run() -> int:
    """Run the command in `sys.argv`; returns the exit code."""
    session = Session(Settings.read())
    try:
        app(obj=session, prog_name="catalog-exports")
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except CatalogExportsError as exc:
        session.screen.error(exc)
        return code_of(exc)
    except BrokenPipeError:  # `| head` has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush
        return ExitCode.ERROR
    except OSError as exc:
        session.screen.error(exc)
        return ExitCode.ERROR
    return ExitCode.OK
