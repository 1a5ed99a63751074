"""Runs the demo: `python -m deploy.local.demo`."""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pymongo.errors import PyMongoError
from rich.console import Console

from catalog_exports import CatalogExports, CatalogExportsError
from deploy.local.demo import report
from deploy.local.demo.checks.readback import differences
from deploy.local.demo.checks.readers import Unreadable
from deploy.local.demo.deliveries import Delivered, DeliveryFailed, Platform, follow, registered
from deploy.local.demo.exports import EXPORTS, Exported, fetch
from deploy.local.demo.own_stack import TENANT, own_folder, own_stack
from deploy.local.demo.products.catalogue import PRODUCTS, SUPPLIERS, Catalogue, made
from deploy.local.demo.products.filling import fill
from deploy.local.demo.receivers.s3_server import s3_server
from deploy.local.demo.receivers.sftp_server import sftp_server
from deploy.local.processes.children import NotReady
from deploy.local.processes.signals import interruptible
from deploy.local.settings import LocalSettings

MAX_DIFFERENCES = 10
"""Differences shown per file."""
INTERRUPTED = 130


def made_and_delivered(
    settings: LocalSettings, catalogue: Catalogue, folder: Path, out: Console
) -> tuple[list[Exported], list[Delivered]]:
    """Start a stack and two destinations, export every format, wait for all deliveries, and stop everything.

    Raises:
        NotReady, CatalogExportsError, DeliveryFailed, PyMongoError: with a message for the user.
    """
    out.print("starting mongod, nats-server, the services, an SFTP server and an S3 server")
    with (
        own_folder(settings, out.print) as data,
        s3_server(data / "s3", data / "logs" / "s3.log") as s3,
        own_stack(settings, data, out.print) as stack,
        sftp_server(data / "sftp") as sftp,
        CatalogExports(stack.url, stack.api_key) as client,
    ):
        fill(stack.mongodb_uri, TENANT, catalogue)
        out.print(f"loaded {len(catalogue.products):,} products and {len(catalogue.suppliers):,} suppliers")
        with registered(client, [sftp, s3]) as platforms:
            out.print(f"platforms registered and tested: {', '.join(platform.name for platform in platforms)}")
            files = exported(client, platforms, folder, out)
            deliveries = follow(client, files, platforms)
            for file in files:
                client.jobs.get(file.job_id).delete()
    return files, deliveries


def exported(client: CatalogExports, platforms: Sequence[Platform], folder: Path, out: Console) -> list[Exported]:
    """Export and download every format, one after the other, while earlier files are delivered."""
    files = []
    for export in EXPORTS:
        with report.watched(out, export) as watch:
            files.append(fetch(client, export, [platform.id for platform in platforms], folder, watch))
    return files


def verified(files: Sequence[Exported], catalogue: Catalogue, out: Console) -> bool:
    """Read every file and return whether each equals the catalogue, value by value."""
    right = True
    for file in files:
        try:
            found = [
                str(difference) for difference in itertools.islice(differences(file, catalogue), MAX_DIFFERENCES + 1)
            ]
        except Unreadable as exc:
            found = [str(exc)]
        right = right and not found
        for line in found[:MAX_DIFFERENCES]:
            out.print(line, markup=False)
        if len(found) > MAX_DIFFERENCES:
            out.print(f"{file.export.file}: more differences follow")
    return right


def demo(settings: LocalSettings, catalogue: Catalogue, folder: Path, out: Console) -> int:
    """Run the demo; returns the exit code."""
    started = time.monotonic()
    files, deliveries = made_and_delivered(settings, catalogue, folder, out)
    if not verified(files, catalogue, out):
        out.print("the files differ from the catalogue", style="bold red")
        return 1
    out.print(report.table(files))
    out.print(report.receipts(deliveries))
    out.print("every value read back equals the catalogue, every file delivered equals the download, byte for byte")
    out.print(f"{time.monotonic() - started:.1f} s, files in {folder}")
    return 0


def main() -> int:
    """Exit code 0; 1 if something failed or differs; 2 for an invalid setting; 130 after Ctrl-C."""
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
    except (NotReady, CatalogExportsError, DeliveryFailed, PyMongoError, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
