"""Loads a file into a tenant's catalogue: `python -m loader products.jsonl` (docs/loading.md)."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from loader.catalogue import INDEXES
from loader.errors import BadFile
from loader.loading import Load, Stopped, Watch
from loader.report import Screen, print_change
from loader.settings import LoaderSettings
from loader.upsert import Outcome
from services.chassis.faults import BadRequest
from services.chassis.mongo import Document, connect_sync
from services.exporter.catalogue.snapshot import database_name
from services.exporter.catalogue.tenants import check_tenant

LOADED, SOME_REFUSED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130
MAX_WAIT_MILLIS = 10_000
"""Until MongoDB answers."""


class NotReady(Exception):
    """There is no MongoDB to load into."""


def load(path: Path, tenant: str, collection: str, *, dry_run: bool) -> int:
    """Load a file and print a summary; the exit code. A dry run prints every change and writes nothing."""
    with _client() as client, _interrupt() as stopped:
        screen = Screen(path.stat().st_size, has_bar=not dry_run)
        watch = Watch(screen.at, screen.refuse, print_change if dry_run else _ignore, lambda: bool(stopped))
        work = Load(path, client[database_name(tenant)][collection], watch, dry_run=dry_run)
        place = f"{collection} of tenant {tenant}"
        try:
            with screen.bar:
                work.run()
        except Stopped:
            return _unfinished("stopped", work.outcome, place, INTERRUPTED)
        except BadFile as exc:
            return _unfinished(f"{path}: {exc}", work.outcome, place, NOT_DONE)
        except PyMongoError as exc:
            return _unfinished(_described(exc), work.outcome, place, NOT_DONE)
        finally:
            screen.finish()
    if dry_run:
        print(f"nothing was written; {_summary(work.outcome).replace('loaded', 'would load', 1)}: {place}")
    else:
        print(f"{_summary(work.outcome)}: {place}")
    return SOME_REFUSED if work.outcome.refused else LOADED


def _ignore(line: int, old: Document | None, new: Document) -> None:
    """Changes are only counted."""


def _unfinished(why: str, outcome: Outcome, place: str, code: int) -> int:
    print(why, file=sys.stderr)
    if outcome.loaded or outcome.refused or code == INTERRUPTED:
        advice = "load the file again to continue; what is already loaded stays as it is"
        print(f"{_summary(outcome)} so far: {place}\n{advice}", file=sys.stderr)
    return code


def _summary(outcome: Outcome) -> str:
    bad = f", {outcome.refused:,} bad lines not loaded" if outcome.refused else ""
    counts = f"{outcome.created:,} new, {outcome.changed:,} changed, {outcome.unchanged:,} unchanged"
    return f"loaded {outcome.loaded:,} ({counts}){bad}"


def _described(exc: PyMongoError) -> str:
    doing = "refused" if isinstance(exc, OperationFailure) else "does not answer"
    return f"MongoDB {doing}: {str(exc)[:300]}"


@contextmanager
def _interrupt() -> Iterator[list[int]]:
    """A list that is filled on Ctrl-C, so that the current batch is finished; a second Ctrl-C stops immediately."""
    stopped: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _client() -> MongoClient[Document]:
    uri = LoaderSettings().mongodb_uri
    if not uri:
        raise NotReady("set MONGODB_URI to the MongoDB of the catalogues")
    return connect_sync(uri, app="loader", selection_ms=MAX_WAIT_MILLIS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loader", description="Load a file into a catalogue.")
    parser.add_argument("file", type=Path, help="JSON Lines, a JSON array, CSV, or an Excel workbook")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--collection", default="products", choices=sorted(INDEXES))
    parser.add_argument("--dry-run", action="store_true", help="list what would change, and write nothing")
    args = parser.parse_args()
    try:
        check_tenant(args.tenant)
        return load(args.file, args.tenant, args.collection, dry_run=args.dry_run)
    except BadRequest as exc:
        print(f"tenant {args.tenant!r} {exc.violations[0].message}", file=sys.stderr)
    except OSError as exc:
        print(f"{args.file}: {exc.strerror or exc}", file=sys.stderr)
    except (NotReady, PyMongoError) as exc:
        print(exc, file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped immediately; load the file again, what is already loaded stays as it is", file=sys.stderr)
        return INTERRUPTED
    return NOT_DONE


if __name__ == "__main__":
    sys.exit(main())
