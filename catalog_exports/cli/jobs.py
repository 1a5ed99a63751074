"""`catalog-exports jobs`: exports that were requested before."""

from typing import Annotated

import typer

from catalog_exports.cli.export import Output, Timeout, check_output
from catalog_exports.cli.following import download as download_file
from catalog_exports.cli.following import follow
from catalog_exports.cli.screen import Screen, instant
from catalog_exports.cli.session import AsJson, Limit, session
from catalog_exports.client.models import JobData

app = typer.Typer(no_args_is_help=True, help="Exports: list, show, wait, download, cancel, retry, delete.")
JobId = Annotated[str, typer.Argument(help="Id of the export.", metavar="ID")]


@app.command("list")
def show_all(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="processing, completed, failed, cancelled or expired.")] = None,
    format: Annotated[str | None, typer.Option(help="Only this format.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Only those of the schedule with this id.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only those of the profile with this id.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List exports, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        jobs = client.jobs.list(status=status, format=format, schedule=schedule, profile=profile, limit=limit)
        found = [job.data for job in jobs]
    heading = ("id", "created", "format", "status", "records", "file")
    rows = [
        (one.id, instant(one.created_at), one.format, state(one), one.total_records, one.file_name) for one in found
    ]
    run.screen.table(found, heading, rows)


@app.command()
def show(ctx: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show one export, with its error, warnings and deliveries."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        show_job(run.screen, client.jobs.get(job_id).data)


@app.command()
def wait(ctx: typer.Context, job_id: JobId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Wait for the end of an export."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        show_job(run.screen, follow(run.screen, client.jobs.get(job_id), timeout))


@app.command()
def download(
    ctx: typer.Context, job_id: JobId, output: Output = None, timeout: Timeout = None, as_json: AsJson = False
) -> None:
    """Download the file, or continue a download, and verify its SHA-256. Waits for a running export."""
    run = session(ctx, as_json=as_json)
    check_output(output, as_json=as_json)
    with run.client() as client:
        job = client.jobs.get(job_id)
        if job.data.is_live:
            follow(run.screen, job, timeout)
        download_file(run.screen, job, output)


@app.command()
def cancel(ctx: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Cancel a running export."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        job = client.jobs.get(job_id).cancel()
    run.screen.result(job.data, f"{job.id} is {job.status}")


@app.command()
def retry(ctx: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Start a failed or cancelled export again."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        job = client.jobs.get(job_id).retry()
    run.screen.result(job.data, f"{job.id} is {job.status}")


@app.command()
def delete(ctx: typer.Context, job_id: JobId) -> None:
    """Delete an ended export, and its file on the server."""
    run = session(ctx)
    with run.client() as client:
        client.jobs.get(job_id).delete()
    run.screen.note(f"{job_id} is deleted")


def state(job: JobData) -> str:
    """The status; the stage and percentage of a running job, the code of a failed one."""
    if job.is_live:
        percent = job.progress.percent if job.progress else None
        return f"{job.stage or job.status}{'' if percent is None else f' {percent:.0f} %'}"
    return f"{job.status}: {job.error.code}" if job.error and job.status == "failed" else job.status


def show_job(screen: Screen, job: JobData) -> None:
    """All that is known of a job."""
    pairs: list[tuple[str, object]] = [
        ("id", job.id),
        ("status", state(job)),
        ("format", job.format),
        ("created", instant(job.created_at)),
        ("finished", instant(job.finished_at)),
        ("records", job.total_records),
        ("file", job.file_name),
        ("bytes", job.file_size),
        ("sha256", job.sha256),
        ("expires", instant(job.expires_at)),
        ("error", job.error and job.error.message),
        *(("warning", f"{one.message} ({one.code})") for one in job.warnings or ()),
        *(
            ("delivery", f"{one.platform_name or one.platform_id} ({one.platform_type or 'removed'}): {one.status}")
            for one in job.deliveries or ()
        ),
    ]
    screen.fields(job, pairs)
