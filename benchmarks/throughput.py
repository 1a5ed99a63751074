"""Compares every format with a raw scan of the same catalogue: the fastest MongoDB can deliver."""

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
"""Rows that openpyxl writes; it would take a minute for all of them."""
CHOSEN = ("sku", "ean", "name", "price")
RENAMED = [{"header": f"{name} of the product", "field": name} for name in CHOSEN]
RULES: list[Any] = [
    *({"header": name.upper(), "field": name} for name in ("_id", "sku", "ean", "family", "stock", "weight", "image")),
    {"header": "color", "field": "attributes.color"},
    {"header": "material", "field": "attributes.material"},
    {"header": "name", "field": "title", "fallback": ["label", "name"]},
    {"header": "text", "field": "description.fr_FR", "fallback": ["description.de_DE"]},
    {"header": "maker", "field": "manufacturer", "fallback": ["brand"]},
    {"header": "title", "template": "{brand} {name} – {attributes.color}"},
    {"header": "link", "template": "https://shop.example/{family}/{sku}"},
    {"header": "variant", "template": "{attributes.color} / {attributes.size}"},
    {"header": "colour", "field": "attributes.color", "map": {"black": "schwarz", "white": "weiß", "red": "rot"}},
    {"header": "size", "field": "attributes.size", "map": {"XS": "34", "S": "36", "M": "38"}, "map_default": "40"},
    {"header": "price", "field": "price", "number": {"decimals": 2, "decimal_mark": ",", "suffix": " EUR"}},
    {"header": "cost", "field": "cost", "number": {"decimals": 2, "decimal_mark": ",", "thousands": "."}},
    {"header": "availability", "field": "is_active", "bool": ["in_stock", "out_of_stock"]},
]
"""Three fallbacks, three templates, two maps, two number formats."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and its target ratio to the rate of the raw scan."""

    name: str
    form: str
    body: dict[str, Any]
    min_ratio: float | None
    seconds: list[float] = field(default_factory=list)


def measure(system: System, report: Report) -> None:
    """Measure medians of several rounds. Each round scans, then runs every case."""
    cases = [
        Case("CSV", "csv", {}, 0.80),
        Case("NDJSON", "json", {"json_lines": True}, 0.75),
        Case("JSON, pretty", "json", {}, 0.65),
        Case("ZIP", "zip", {}, 0.60),
        Case("Excel", "excel", {}, None),
        Case("XML", "xml", {}, 0.50),
        Case("Parquet", "parquet", {}, 0.30),
        Case("CSV, gzip", "csv", {"compression": "gzip"}, None),
        Case("CSV, zstd", "csv", {"compression": "zstd"}, None),
        Case("CSV, four fields", "csv", {"include_fields": list(CHOSEN)}, 0.75),
        Case("CSV, four renamed columns", "csv", {"columns": RENAMED}, 0.75),
        Case("CSV, 20 columns with rules", "csv", {"columns": RULES}, 0.50),
        Case("CSV, one locale", "csv", {"locales": ["de_DE"], "locale_fallback": {"de_DE": ["en_GB"]}}, None),
    ]
    system.fill(PRODUCTS)
    for case in cases:
        system.export(case.form, case.body)  # the first export of a request also discovers its columns
    whole: list[float] = []
    chosen: list[float] = []
    for _ in range(RUNS):
        whole.append(_scan(system.mongodb_uri, None))
        chosen.append(_scan(system.mongodb_uri, dict.fromkeys(CHOSEN, 1)))
        for case in cases:
            case.seconds.append(system.export(case.form, case.body)[1])
    report.add(f"{PRODUCTS:,} products, raw scan", _rate(whole))
    report.add(f"{PRODUCTS:,} products, raw scan of four fields", _rate(chosen))
    for case in cases:
        limit = chosen if "include_fields" in case.body or case.body.get("columns") is RENAMED else whole
        ratio = statistics.median(limit) / statistics.median(case.seconds)
        report.add(
            f"{PRODUCTS:,} products as {case.name}, POST to completed",
            _rate(case.seconds),
            compared=f"raw scan; ratio {ratio:.2f}",
            target=f"at least {case.min_ratio:.2f}" if case.min_ratio else "",
        )
    _compare_with_openpyxl(system, report, next(case for case in cases if case.form == "excel"))
    _compare_with_mongoexport(system, report, cases[0])


def _scan(mongodb_uri: str, projection: dict[str, int] | None) -> float:
    """Seconds PyMongo takes to read all documents without decoding them."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.admin.command("ping")
        started = time.perf_counter()
        for _ in client["catalogue_default"]["products"].find_raw_batches({}, projection):
            pass
        return time.perf_counter() - started


def _compare_with_openpyxl(system: System, report: Report, excel: Case) -> None:
    """Compare with the rows per second of openpyxl's write-only mode for the same, prepared cells."""
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
        "Excel compared with openpyxl's write-only mode",
        f"{ours:,.0f} rows/s",
        compared=f"openpyxl {rate:,.0f} rows/s; ratio {ours / rate:.0f}",
        target="at least 20",
    )


def _cell(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


def _compare_with_mongoexport(system: System, report: Report, csv: Case) -> None:
    """Compare with mongoexport, if it is on PATH."""
    program = shutil.which("mongoexport")
    if program is None:
        report.add("CSV compared with mongoexport", "not measured", compared="mongoexport is not on PATH")
        return
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        fields = [name for name, _ in flat(client["catalogue_default"]["products"].find_one() or {})]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, f"--uri={system.mongodb_uri}", "--db=catalogue_default", "--collection=products"]
        started = time.perf_counter()
        output = [f"--out={Path(folder) / 'products.csv'}", "--type=csv", f"--fields={','.join(fields)}"]
        subprocess.run([*command, *output], check=True, capture_output=True)
        ratio = (time.perf_counter() - started) / statistics.median(csv.seconds)
    report.add("CSV compared with mongoexport", f"{ratio:.1f} times as fast", target="at least 5")


def _rate(seconds: Sequence[float]) -> str:
    """Documents per second at the median, and the median, minimum and maximum."""
    middle = statistics.median(seconds)
    return f"{PRODUCTS / middle:,.0f}/s, {middle:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
