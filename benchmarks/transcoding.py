"""Documents per second of each transcoder, Python and compiled, compared with decoding the same batch in PyMongo.

python -m benchmarks.transcoding: on one thread, without any server.
"""

import sys
import time
from collections.abc import Callable

import bson

from benchmarks.catalogue import products
from benchmarks.report import Report
from services.exporter.catalogue.columns import Selection
from services.exporter.transcode import Tally, Transcoders, discover
from services.exporter.transcode.choice import PLAIN, compiled_transcoders

DOCUMENTS = 5_000
RUNS = 15
CHOSEN = Selection(("id", "sku", "price", "attributes.color"))

Step = Callable[[bytes], object]


def steps(transcoders: Transcoders, columns: tuple[str, ...]) -> dict[str, Step]:
    """A transcoder of every kind."""
    every, name = Selection(), "products"
    rows = transcoders.sheet_rows(name, columns, every, Tally(), first_style=2)
    return {
        "CSV": transcoders.csv_rows(name, columns, every, Tally(), delimiter=",", escape_formulas=True).encode,
        "CSV, four fields": transcoders.csv_rows(
            name, CHOSEN.header(columns), CHOSEN, Tally(), delimiter=",", escape_formulas=True
        ).encode,
        "NDJSON": transcoders.json_objects(name, every, Tally(), newline=None, ending="\n").encode,
        "NDJSON, four fields": transcoders.json_objects(name, CHOSEN, Tally(), newline=None, ending="\n").encode,
        "JSON, pretty": transcoders.json_objects(name, every, Tally(), newline="\n  ", ending=",\n  ").encode,
        "sheet XML": lambda batch: rows.encode(batch, 2),
        "columns": transcoders.discovery(every, {}).note,
    }


def main() -> int:
    """Always exits with 0: the numbers are for information."""
    batch = b"".join(bson.encode(product) for product in products(DOCUMENTS))
    seen: dict[str, bool] = {}
    discover(batch, Selection(), seen)
    columns = Selection().header(seen)
    report, plain, compiled = Report(), steps(PLAIN, columns), steps(compiled_transcoders(), columns)
    report.begin(f"{DOCUMENTS:,} documents of {len(batch) / DOCUMENTS:.0f} bytes")
    for name in plain:
        decoding, slow, fast = (rate(step, batch) for step in (bson.decode_all, plain[name], compiled[name]))
        beside = (
            f"plain {slow:,.0f}/s, ratio {fast / slow:.0f}; decode_all {decoding:,.0f}/s, ratio {fast / decoding:.1f}"
        )
        report.add(name, f"{fast:,.0f}/s", compared=beside)
    report.show()
    return 0


def rate(step: Step, batch: bytes) -> float:
    """Documents per second in the fastest of several runs, which other processes disturbed the least."""
    step(batch)
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        step(batch)
        taken.append(time.perf_counter() - started)
    return DOCUMENTS / min(taken)


if __name__ == "__main__":
    sys.exit(main())
