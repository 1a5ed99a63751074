"""`catalog-exports schedules`: recurring exports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog_exports.cli.export import export_options
from catalog_exports.cli.screen import Screen, instant
from catalog_exports.cli.session import AsJson, Limit, session
from catalog_exports.client.models import FireTime, Schedule

app = typer.Typer(no_args_is_help=True, help="Recurring exports: list, show, add, preview, run, pause, resume, delete.")
ScheduleId = Annotated[str, typer.Argument(help="Id of the schedule.", metavar="ID")]
Timezone = Annotated[str, typer.Option("--timezone", help="IANA name, such as Europe/Paris.")]
Count = Annotated[int, typer.Option("--count", min=1, max=100, help="How many times.")]


@app.command("list")
def show_all(ctx: typer.Context, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List schedules, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        found = list(client.schedules.list(limit=limit))
    heading = ("id", "expression", "time zone", "next run", "last run", "name")
    rows = [
        (one.id, one.cron_expression, one.timezone, _next(one), one.last_run and one.last_run.status, one.schedule_name)
        for one in found
    ]
    run.screen.table(found, heading, rows)


@app.command()
def show(ctx: typer.Context, schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Show one schedule."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        one = client.schedules.get(schedule_id)
    pairs: list[tuple[str, object]] = [
        ("id", one.id),
        ("name", one.schedule_name),
        ("expression", one.cron_expression),
        ("time zone", one.timezone),
        ("next run", _next(one)),
        ("last run", one.last_run and f"{instant(one.last_run.fire_at)} {one.last_run.status}"),
        ("platform", one.platform_id),
        ("format", one.format),
        ("options", one.options),
        ("profile", one.profile_id),
        ("misfire", one.misfire),
        ("overlap", one.overlap),
        ("changes", one.changes and f"empty files: {one.empty}, full every: {one.full_every or 'never again'}"),
    ]
    run.screen.fields(one, pairs)


@app.command()
def add(
    ctx: typer.Context,
    expression: Annotated[str, typer.Argument(help="Five fields: '0 6 * * MON-FRI'.")],
    name: Annotated[str, typer.Option(help="Name in lists and file names.")],
    platform: Annotated[str, typer.Option(help="Id of the platform that gets the files.")],
    timezone: Timezone = "UTC",
    format: Annotated[
        str | None,
        typer.Option(help="csv (the default), json, xml, excel, parquet, zip, or another format of the server."),
    ] = None,
    filter: Annotated[list[str] | None, typer.Option("--filter", help="As in `export`.")] = None,
    fields: Annotated[list[str] | None, typer.Option(help="Columns, in this order.")] = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="Any other option of the format.")] = None,
    options: Annotated[Path | None, typer.Option(help="JSON file with all options, - for stdin.")] = None,
    profile: Annotated[str | None, typer.Option(help="Id of a profile, instead of format and options.")] = None,
    misfire: Annotated[str, typer.Option(help="Which missed times run: latest, skip, all.")] = "latest",
    overlap: Annotated[str, typer.Option(help="A run while the last one is not finished: skip, queue.")] = "skip",
    jitter: Annotated[int, typer.Option(min=0, max=3600, help="Spread starts over this many seconds.")] = 0,
    paused: Annotated[bool, typer.Option("--paused", help="Do not start yet.")] = False,
    changes: Annotated[
        bool, typer.Option("--changes", help="Send what has changed since the last file that the platform confirmed.")
    ] = False,
    skip_empty: Annotated[
        bool, typer.Option("--skip-empty", help="With --changes: deliver no file without changes.")
    ] = False,
    full_every: Annotated[
        int, typer.Option(min=0, max=1000, help="With --changes: every so many files one with all rows; 0: the first.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Create a schedule, and show when it will run next."""
    run = session(ctx, as_json=as_json)
    body = export_options(options, option, filter, {"include_fields": fields})
    if (skip_empty or full_every) and not changes:
        raise typer.BadParameter("--skip-empty and --full-every need --changes")
    delta: dict[str, Any] = {"changes": True, "empty": "skip" if skip_empty else "deliver", "full_every": full_every}
    with run.client() as client:
        made = client.schedules.create(
            name,
            expression,
            platform,
            timezone=timezone,
            format=format,
            options=body or None,
            profile_id=profile,
            is_active=not paused,
            misfire=misfire,
            overlap=overlap,
            jitter_seconds=jitter,
            **(delta if changes else {}),
        )
    run.screen.result(made, f"{made.id}\nnext run: {_next(made)}")


@app.command()
def preview(
    ctx: typer.Context,
    expression: Annotated[str, typer.Argument(help="Five fields, or the id of a schedule.")],
    timezone: Timezone = "UTC",
    count: Count = 10,
    as_json: AsJson = False,
) -> None:
    """Show the next times of an expression or a schedule, and what clock changes do to them."""
    run = session(ctx, as_json=as_json)
    is_id = len(expression) == 36 and expression.count("-") == 4 and " " not in expression
    with run.client() as client:
        if is_id:
            times = client.schedules.upcoming(expression, count=count)
        else:
            times = client.schedules.preview(expression, timezone=timezone, count=count)
    show_times(run.screen, times)


@app.command("run")
def run_now(ctx: typer.Context, schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Start one run now, also of a paused schedule."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        made = client.schedules.run(schedule_id)
    run.screen.result(made, f"run {made.id} is {made.status}")


@app.command()
def runs(ctx: typer.Context, schedule_id: ScheduleId, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the runs of a schedule, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        found = list(client.schedules.runs(schedule_id, limit=limit))
    heading = ("due", "status", "job", "reason")
    run.screen.table(found, heading, [(instant(one.fire_at), one.status, one.job_id, one.reason) for one in found])


@app.command()
def baseline(
    ctx: typer.Context,
    schedule_id: ScheduleId,
    reset: Annotated[bool, typer.Option("--reset", help="Let the next file have all rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the next file with changes is based on, or forget it."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        if reset:
            client.schedules.reset_baseline(schedule_id)
        found = client.schedules.baseline(schedule_id)
    if found.job_id is None:
        run.screen.result(found, "the next file has all rows")
    else:
        run.screen.result(found, f"file {found.number} of the chain, of job {found.job_id}")


@app.command()
def pause(ctx: typer.Context, schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Pause a schedule; times that pass are not made up for."""
    _switch(ctx, schedule_id, is_active=False, as_json=as_json)


@app.command()
def resume(ctx: typer.Context, schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Resume a paused schedule."""
    _switch(ctx, schedule_id, is_active=True, as_json=as_json)


@app.command()
def delete(ctx: typer.Context, schedule_id: ScheduleId) -> None:
    """Delete a schedule; its exports stay."""
    run = session(ctx)
    with run.client() as client:
        client.schedules.delete(schedule_id)
    run.screen.note(f"{schedule_id} is deleted")


def show_times(screen: Screen, times: Sequence[FireTime]) -> None:
    """A table of times; where the offset differs from the one before, the clock has changed."""
    rows, before = [], times[0].utc_offset if times else ""
    for one in times:
        changed = "" if one.utc_offset == before else f"the clock has changed from {before} to {one.utc_offset}"
        rows.append(
            (
                one.local[:16].replace("T", " "),
                one.utc_offset,
                instant(one.at),
                "; ".join(filter(None, (changed, one.note))),
            )
        )
        before = one.utc_offset
    screen.table(times, ("local time", "offset", "UTC", "note"), rows)


def _switch(ctx: typer.Context, schedule_id: str, *, is_active: bool, as_json: bool) -> None:
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        changed = client.schedules.update(schedule_id, is_active=is_active)
    run.screen.result(changed, f"{changed.schedule_name}: {_next(changed)}")


def _next(one: Schedule) -> str:
    return instant(one.next_run_at) or ("none" if one.is_active else "paused")
