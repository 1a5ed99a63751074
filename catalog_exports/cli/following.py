"""Waits for a job and downloads its file, with progress bars."""

import sys
import time
from contextlib import suppress
from pathlib import Path

from catalog_exports.cli.screen import Screen
from catalog_exports.client.errors import Unavailable, Unreachable, WaitTimedOut
from catalog_exports.client.models import JobData
from catalog_exports.client.sync.jobs import Job

STDOUT = Path("-")
UPDATE_SECONDS = 2.0
"""Between two updates of the progress bar while the time is limited."""


def follow(screen: Screen, job: Job, timeout: float | None) -> JobData:
    """Wait until a job is completed. Its progress comes as Server-Sent Events if somebody watches.

    Raises:
        JobNotCompleted: it failed, was cancelled, or has expired.
        WaitTimedOut: it is still running.
    """
    try:
        with screen.running() as bar:
            bar.update(job.data)
            if not screen.is_watched:
                job.wait(timeout)
            elif timeout is None:
                with suppress(Unreachable, Unavailable):  # then it is waited for without events
                    for state in job.events():
                        bar.update(state)
            else:
                deadline = time.monotonic() + timeout
                while job.data.is_live and (left := deadline - time.monotonic()) > 0:
                    with suppress(WaitTimedOut):
                        job.wait(min(UPDATE_SECONDS, left))
                    bar.update(job.data)
                job.wait(0)
        # The last event is without deliveries.
        return (job.refresh() if screen.is_watched and job.status == "completed" else job.wait()).data
    except KeyboardInterrupt:
        screen.note(f"the export continues: catalog-exports jobs wait {job.id}, or jobs cancel {job.id}")
        raise
    except WaitTimedOut:
        screen.note(f"the export continues: catalog-exports jobs wait {job.id}")
        raise


def download(screen: Screen, job: Job, output: Path | None) -> None:
    """Download a completed job's file to a file or folder, or to stdout, and say what it is."""
    try:
        with screen.downloading() as bar:
            if output == STDOUT:
                job.copy_to(sys.stdout.buffer, on_progress=bar.update)
                sys.stdout.buffer.flush()
                path = None
            else:
                path = job.download(output, on_progress=bar.update)
    except KeyboardInterrupt:
        screen.note(f"to continue the download: catalog-exports jobs download {job.id}")
        raise
    for warning in job.data.warnings or ():
        screen.note(f"warning: {warning.message} ({warning.code})")
    if path is None:
        return
    data, records = job.data, job.data.total_records or 0
    counts = f"{records:,} record{'' if records == 1 else 's'}, {data.file_size or 0:,} bytes"
    screen.result(data, f"{path}: {counts}, SHA-256 verified")
