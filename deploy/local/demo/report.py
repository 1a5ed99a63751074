"""The demo's output: progress bars and tables, or plain lines without a terminal."""

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.local.demo.deliveries import Delivered
from deploy.local.demo.exports import Export, Exported, Watch

PLAIN_WIDTH = 200
"""Width without a terminal; wide enough that no cell is cut."""


def console() -> Console:
    """The console on standard output."""
    found = Console(highlight=False, soft_wrap=True)
    return found if found.is_terminal else Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)


@contextlib.contextmanager
def watched(out: Console, export: Export) -> Iterator[Watch]:
    """A progress bar for one export, or a line when it is done."""
    if not out.is_terminal:
        yield lambda _stage, _percent: None
        out.print(f"{export.form:6} exported to {export.file}")
        return
    text = TextColumn("{task.description:6} {task.fields[stage]:10}")
    with Progress(text, BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), console=out) as bars:
        task = bars.add_task(export.form, total=100, stage="queued")
        yield lambda stage, percent: bars.update(task, completed=percent, stage=stage)
        bars.update(task, completed=100, stage="completed")


def table(files: Sequence[Exported]) -> Table:
    """One row per file."""
    made = Table("format", "file")
    for name in ("rows", "bytes", "seconds"):
        made.add_column(name, justify="right")
    made.add_column("SHA-256", overflow="fold")
    for file in files:
        made.add_row(
            file.export.form,
            file.export.file,
            f"{file.records:,}",
            f"{file.download.size:,}",
            f"{file.seconds:.2f}",
            file.download.sha256,
        )
    return made


def receipts(deliveries: Sequence[Delivered]) -> Table:
    """One row per delivery, with the ETag if the destination reports one."""
    made = Table("platform", "file", "remote")
    for name in ("bytes", "seconds"):
        made.add_column(name, justify="right")
    made.add_column("SHA-256, ETag", overflow="fold")
    for one in deliveries:
        proofs = [one.sha256, *(one.reported[name] for name in ("etag",) if name in one.reported)]
        size, seconds = f"{one.size:,}", f"{one.seconds:.2f}"
        made.add_row(one.platform.name, one.file.export.file, one.remote, size, seconds, "\n".join(proofs))
    return made
