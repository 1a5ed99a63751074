"""What the user sees: results on stdout, as text or JSON, and progress, warnings and errors on stderr."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from catalog_exports.client.errors import ApiError
from catalog_exports.client.models import JobData, Model


class Screen:
    """Prints.

    Attributes:
        as_json: results are JSON, and so are errors.
    """

    def __init__(self) -> None:
        self.as_json = False
        self._out = Console(highlight=False, markup=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    @property
    def is_watched(self) -> bool:
        """Whether somebody sees progress."""
        return self._err.is_terminal and not self.as_json

    def result(self, found: Model | Sequence[Model], text: str = "") -> None:
        """The result of a command: as JSON, or as text."""
        if self.as_json:
            value = found.as_json() if isinstance(found, Model) else [one.as_json() for one in found]
            self._print(self._out, json.dumps(value, ensure_ascii=False, indent=2))
        elif text:
            self._print(self._out, text)

    def note(self, text: str) -> None:
        """A line for people, which is not the result."""
        self._print(self._err, text)

    def table(self, found: Sequence[Model], heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A list: as JSON, as a table on a terminal, or with tabs between its columns."""
        if self.as_json:
            self.result(found)
            return
        texts = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
        if not self._out.is_terminal:
            for line in (heading, *texts):
                self._print(self._out, "\t".join(line))
        elif texts:
            table = Table(box=None, pad_edge=False)
            for name in heading:
                table.add_column(name, overflow="fold", no_wrap=name == "id")  # ids are copied
            for line in texts:
                table.add_row(*map(Text, line))
            self._out.print(table)
        else:
            self.note("none")

    def fields(self, found: Model, pairs: Iterable[tuple[str, object]]) -> None:
        """One thing: as JSON, or a line for each field that it has."""
        shown = [(name, str(value)) for name, value in pairs if value not in (None, "")]
        width = max((len(name) for name, _ in shown), default=0)
        self.result(found, "\n".join(f"{name:{width}}  {printable(value)}" for name, value in shown))

    def error(self, exc: Exception) -> None:
        """Why a command failed."""
        if self.as_json:
            body = exc.problem.as_json() if isinstance(exc, ApiError) else {"detail": str(exc)}
            self._print(self._err, json.dumps(body, ensure_ascii=False))
            return
        lines = [f"error: {exc}"]
        if isinstance(exc, ApiError):
            lines[0] += f" ({exc.code})"
            lines += [f"  {one.field}: {one.message}" for one in exc.errors if one.message not in str(exc)]
            if exc.status >= 500 and exc.problem.request_id:
                lines.append(f"  request id, for the operator: {exc.problem.request_id}")
        self._print(self._err, printable("\n".join(lines)))

    @contextmanager
    def running(self) -> Iterator["JobBar"]:
        """A progress bar for a job."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._err, disable=not self.is_watched, transient=True) as progress:
            yield JobBar(progress, progress.add_task("queued", total=None, rows=""))

    @contextmanager
    def downloading(self) -> Iterator["DownloadBar"]:
        """A progress bar for a download."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err, disable=not self.is_watched, transient=True) as progress:
            yield DownloadBar(progress, progress.add_task("downloading", total=None))

    def _print(self, console: Console, text: str) -> None:
        console.file.write(f"{text}\n")  # as it is: rich would cut and wrap lines
        console.file.flush()


class JobBar:
    """Shows rows of a job."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, job: JobData) -> None:
        """Show a state."""
        done = job.progress
        total = done.total if done else None
        rows = "" if not done else f"{done.processed:,} of {total:,} rows" if total else f"{done.processed:,} rows"
        self._progress.update(
            self._task,
            description=job.stage or job.status,
            total=total or None,
            completed=done.processed if done else 0,
            rows=rows,
        )


class DownloadBar:
    """Shows bytes of a download."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: int, size: int) -> None:
        """Show how much is there."""
        self._progress.update(self._task, completed=done, total=size)


def printable(text: str) -> str:
    """Text of the server without characters that control a terminal."""
    return "".join(c if c.isprintable() or c in "\n" else f"\\x{ord(c):02x}" for c in text)


def instant(value: Any) -> str:
    """A time in UTC, to the second."""
    return "" if value is None else f"{value:%Y-%m-%dT%H:%M:%S}Z"


def is_interactive() -> bool:
    """Whether somebody can answer questions."""
    return sys.stdin.isatty() and sys.stderr.isatty()
