"""How near every format comes to what MongoDB can hand over: a raw scan of the same catalogue, in the same run."""

import io
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bson import Decimal128
from openpyxl import Workbook
from pymongo import MongoClient

from benchmarks.flattening import flat
from benchmarks.report import Report
from benchmarks.system import System

PRODUCTS = 300_000
RUNS = 5
ROWS = 20_000
"""Rows that openpyxl writes; all of them take it a minute."""
CHOSEN = ("sku", "ean", "name", "price")


@dataclass(frozen=True, slots=True)
class Way:
    """A request, and the least ratio to the raw scan's rate."""

    name: str
    form: str
    body: dict[str, Any]
    least: float | None
    seconds: list[float] = field(default_factory=list)


def measure(system: System, report: Report) -> None:
    """Medians of some rounds; each round scans, then exports in every way."""
    ways = [
        Way("CSV", "csv", {}, 0.80),
        Way("NDJSON", "json", {"json_lines": True}, 0.75),
        Way("JSON, pretty", "json", {}, 0.65),
        Way("ZIP", "zip", {}, 0.60),
        Way("Excel", "excel", {}, None),
        Way("CSV, four fields", "csv", {"include_fields": list(CHOSEN)}, 0.75),
    ]
    system.fill(PRODUCTS)
    for way in ways:
        system.export(way.form, way.body)  # the first export of a request also looks for its columns
    whole: list[float] = []
    chosen: list[float] = []
    for _ in range(RUNS):
        whole.append(_scan(system.mongodb_uri, None))
        chosen.append(_scan(system.mongodb_uri, dict.fromkeys(CHOSEN, 1)))
        for way in ways:
            way.seconds.append(system.export(way.form, way.body)[1])
    report.add(f"{PRODUCTS:,} products, raw scan", _rate(whole))
    report.add(f"{PRODUCTS:,} products, raw scan of four fields", _rate(chosen))
    for way in ways:
        limit = chosen if "include_fields" in way.body else whole
        ratio = statistics.median(limit) / statistics.median(way.seconds)
        report.add(
            f"{PRODUCTS:,} products as {way.name}, POST to completed",
            _rate(way.seconds),
            compared=f"raw scan; ratio {ratio:.2f}",
            promised=f"at least {way.least:.2f}" if way.least else "",
        )
    _beside_openpyxl(system, report, next(way for way in ways if way.form == "excel"))
    _beside_mongoexport(system, report, ways[0])


def _scan(mongodb_uri: str, projection: dict[str, int] | None) -> float:
    """Seconds in which PyMongo takes all documents, undecoded."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.admin.command("ping")
        started = time.perf_counter()
        for _ in client["catalogue_default"]["products"].find_raw_batches({}, projection):
            pass
        return time.perf_counter() - started


def _beside_openpyxl(system: System, report: Report, excel: Way) -> None:
    """Rows a second of openpyxl's write-only mode, given the same cells ready made."""
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        found = client["catalogue_default"]["products"].find().limit(ROWS)
        rows = [[_cell(value) for _, value in flat(document)] for document in found]
    started = time.perf_counter()
    book = Workbook(write_only=True)
    sheet = book.create_sheet("products")
    for row in rows:
        sheet.append(row)
    book.save(io.BytesIO())
    rate, ours = ROWS / (time.perf_counter() - started), PRODUCTS / statistics.median(excel.seconds)
    report.add(
        "Excel beside openpyxl's write-only mode",
        f"{ours:,.0f} rows/s",
        compared=f"openpyxl {rate:,.0f} rows/s; ratio {ours / rate:.0f}",
        promised="at least 20",
    )


def _cell(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


def _beside_mongoexport(system: System, report: Report, csv: Way) -> None:
    """The same catalogue through mongoexport, where it is on PATH."""
    program = shutil.which("mongoexport")
    if program is None:
        report.add("CSV beside mongoexport", "not measured", compared="mongoexport is not on PATH")
        return
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        fields = [name for name, _ in flat(client["catalogue_default"]["products"].find_one() or {})]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, f"--uri={system.mongodb_uri}", "--db=catalogue_default", "--collection=products"]
        started = time.perf_counter()
        output = [f"--out={Path(folder) / 'products.csv'}", "--type=csv", f"--fields={','.join(fields)}"]
        subprocess.run([*command, *output], check=True, capture_output=True)
        ratio = (time.perf_counter() - started) / statistics.median(csv.seconds)
    report.add("CSV beside mongoexport", f"{ratio:.1f} times as fast", promised="at least 5")


def _rate(seconds: Sequence[float]) -> str:
    """Documents a second at the median, and the median with its extremes."""
    middle = statistics.median(seconds)
    return f"{PRODUCTS / middle:,.0f}/s, {middle:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
