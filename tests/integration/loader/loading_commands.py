"""Runs the loader as a process, and exports a tenant's catalogue, for tests of round trips."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from services.exporter.catalogue.column_store import RememberedColumns
from services.exporter.catalogue.snapshot import sizes
from services.exporter.export.attempt import Attempt, Progress
from services.exporter.export.plan import Plan
from services.exporter.formats import csv as csv_format
from services.exporter.formats import excel as excel_format
from services.exporter.formats import json as json_format
from services.exporter.formats.contract import Format
from tests.system import ROOT

Document = dict[str, Any]
FORMATS: dict[str, Format] = {"csv": csv_format.FORMAT, "json": json_format.FORMAT, "excel": excel_format.FORMAT}


class Memory:
    """A writer that keeps the file."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def commit(self) -> None:
        pass

    def abort(self) -> None:
        self.content = b""


def exported(client: MongoClient[Document], tenant: str, name: str, **options: Any) -> bytes:
    """The bytes of an export of the tenant's products."""
    found = FORMATS[name]
    written = Memory()
    plan = Plan(
        tenant=tenant,
        format=found,
        options=found.Options(**options),
        query={},
        remembered={"products": RememberedColumns()},
        max_columns=1000,
    )
    Attempt(plan, client, sizes(client, tenant, ["products"]), lambda: written, Progress(), threading.Event()).run()
    return written.content


def command(file: Path, tenant: str, collection: str = "products") -> list[str]:
    """The loader's command line."""
    return [sys.executable, "-m", "loader", str(file), "--tenant", tenant, "--collection", collection]


def local_command(file: Path, tenant: str) -> list[str]:
    """The command line of `make load`, which finds the MongoDB of the local stack."""
    return [sys.executable, "-m", "deploy.local.load", str(file), "--tenant", tenant]


def environment(uri: str, **more: str) -> Mapping[str, str]:
    """The environment of a loader that uses this MongoDB."""
    return {**os.environ, "MONGODB_URI": uri, "LOCAL_DIR": "", **more}


def run(
    uri: str, file: Path, tenant: str, collection: str = "products", *options: str
) -> "subprocess.CompletedProcess[str]":
    """Load a file; the finished process."""
    return subprocess.run(
        [*command(file, tenant, collection), *options],
        cwd=ROOT,
        env=environment(uri),
        capture_output=True,
        text=True,
        timeout=120,
    )
