"""Runs the demo: `python -m deploy.local.demo`."""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pymongo.errors import PyMongoError
from rich.console import Console

from deploy.local.children import NotReady
from deploy.local.demo import report
from deploy.local.demo.catalogue import PRODUCTS, SUPPLIERS, Catalogue, made
from deploy.local.demo.exports import EXPORTS, Exported, fetch
from deploy.local.demo.filling import fill
from deploy.local.demo.own_stack import TENANT, own_stack
from deploy.local.demo.readback import differences
from deploy.local.demo.readers import Unreadable
from deploy.local.demo.rest import ExportFailed, Rest
from deploy.local.settings import LocalSettings
from deploy.local.signals import interruptible

SHOWN = 10
"""Differences that are spelled out, of each file."""
INTERRUPTED = 130


def export_all(settings: LocalSettings, catalogue: Catalogue, folder: Path, out: Console) -> list[Exported]:
    """Start a stack, load the catalogue, export and fetch every format, and stop the stack.

    Raises:
        NotReady, ExportFailed, PyMongoError: what went wrong, in words.
    """
    out.print("starting mongod, nats-server, exporter and gateway")
    with own_stack(settings, out.print) as stack:
        fill(stack.mongodb_uri, TENANT, catalogue)
        out.print(f"loaded {len(catalogue.products):,} products and {len(catalogue.suppliers):,} suppliers")
        rest, files = Rest(stack.url, stack.api_key), []
        for export in EXPORTS:
            with report.watched(out, export) as watch:
                files.append(fetch(rest, export, folder, watch))
    return files


def verified(files: Sequence[Exported], catalogue: Catalogue, out: Console) -> bool:
    """Read every file back; whether all of them hold the catalogue, value for value."""
    right = True
    for file in files:
        try:
            found = [str(difference) for difference in itertools.islice(differences(file, catalogue), SHOWN + 1)]
        except Unreadable as exc:
            found = [str(exc)]
        right = right and not found
        for line in found[:SHOWN]:
            out.print(line, markup=False)
        if len(found) > SHOWN:
            out.print(f"{file.export.file}: and more")
    return right


def demo(settings: LocalSettings, catalogue: Catalogue, folder: Path, out: Console) -> int:
    """The whole demo; the exit code."""
    started = time.monotonic()
    files = export_all(settings, catalogue, folder, out)
    if not verified(files, catalogue, out):
        out.print("the files differ from the catalogue", style="bold red")
        return 1
    out.print(report.table(files))
    out.print(f"every value read back equals the catalogue; {time.monotonic() - started:.1f} s, files in {folder}")
    return 0


def main() -> int:
    """Exit code 0; 1 when something failed or differs; 2 for a wrong setting; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.demo", description="The demo.")
    parser.add_argument("--products", type=int, default=PRODUCTS)
    parser.add_argument("--suppliers", type=int, default=SUPPLIERS)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    asked = parser.parse_args()
    settings = LocalSettings.read()
    try:
        interruptible()
        catalogue = made(asked.products, asked.suppliers)
        return demo(settings, catalogue, asked.output.absolute(), report.console())
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return INTERRUPTED
    except (NotReady, ExportFailed, PyMongoError, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
