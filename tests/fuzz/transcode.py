"""Feeds damaged batches to the compiled transcoders under AddressSanitizer, and compares them with the reference.

python -m tests.fuzz.transcode [--seconds 600] [--seed 1]: needs gcc. Exits with 0 if no difference was found.
"""

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from services.exporter.catalogue.columns import Selection, selection_of
from services.exporter.catalogue.output_columns import CellCheck, CheckedKind
from services.exporter.transcode import Tally, locales, reference, row_hashes
from services.exporter.transcode.elements import Layout
from services.exporter.transcode.locales import reductions_of
from tests.contract.transcode.columns import columns_of
from tests.fuzz.batches import damaged, stored

MODULE = "services.exporter.transcode.compiled"
ROUNDS = 200
"""Batches for one set of transcoders: damage must also be tested after valid documents were learned."""

Encode = Callable[[bytes], Any]


def main() -> int:
    """Build the extension with the sanitizer, then fuzz it in a new process that runs under the sanitizer."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.transcode", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--built", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.built is not None:
        return fuzz(loaded(given.built), given.seconds, given.seed)
    with tempfile.TemporaryDirectory(prefix="catalog-exports-fuzz-") as folder:
        built = sanitized(Path(folder))
        command = [sys.executable, "-m", "tests.fuzz.transcode", *sys.argv[1:], "--built", str(built)]
        return subprocess.run(command, env=os.environ | surroundings(), check=False).returncode


def sanitized(folder: Path) -> Path:
    """The extension, built with AddressSanitizer into this folder."""
    build = ["build_ext", "--force", "--build-lib", str(folder), "--build-temp", str(folder / "temp")]
    flags = {
        "CFLAGS": "-fsanitize=address,undefined -fno-omit-frame-pointer -g -O1",
        "LDFLAGS": "-fsanitize=address,undefined",
    }
    subprocess.run([sys.executable, "setup.py", "--quiet", *build], env=os.environ | flags, check=True)
    [built] = folder.rglob("compiled.*.so")
    return built


def surroundings() -> dict[str, str]:
    """The environment in which the sanitizer also checks the memory of Python objects."""
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return {
        "LD_PRELOAD": found.stdout.strip(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",  # the interpreter itself leaks memory
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


def loaded(path: Path) -> ModuleType:
    """Load the extension from a file outside its package."""
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fuzz(compiled: ModuleType, seconds: float, seed: int) -> int:
    """Run until the time is over, or until the first difference, which is printed."""
    dice = random.Random(seed)
    end, batches, refused = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        documents = stored(dice, 60)
        pairs = list(zip(transcoders(compiled, documents), transcoders(reference, documents), strict=True))
        for _ in range(ROUNDS):
            batch = damaged(dice, b"".join(dice.choices(documents, k=dice.randrange(1, 4))))
            batches += 1
            for fast, plain in pairs:
                expected = outcome(plain, batch)
                refused += isinstance(expected[0], type)
                if outcome(fast, batch) != expected:
                    print(f"different: seed {seed}, batch {batch.hex()}", outcome(fast, batch), expected, sep="\n")
                    return 1
    print(f"{batches:,} batches, {refused:,} times refused, no difference, no finding")
    return 0


def outcome(encode: Encode, batch: bytes) -> tuple[Any, Any]:
    """The result of a batch, or the type of the exception."""
    try:
        return "encoded", encode(batch)
    except Exception as exc:
        return type(exc), None


def transcoders(implementation: ModuleType, documents: list[bytes]) -> list[Encode]:
    """A transcoder of every kind, with the columns of the documents."""
    seen: dict[str, bool] = {}
    for document in documents[:50]:
        reference.discover(document, Selection(), seen)
    names = tuple(seen)
    chosen = names[:: len(names) // 5]
    without = Selection(None, chosen)

    def csv(columns: tuple[str, ...], selection: Selection) -> Encode:
        rows = implementation.CsvRows("p", columns, selection, Tally(), delimiter=";", escape_formulas=True)
        return rows.encode  # type: ignore[no-any-return]  # the module is loaded from a file

    def json(selection: Selection, newline: str | None, ending: str) -> Encode:
        return implementation.JsonObjects("p", selection, Tally(), newline=newline, ending=ending).encode  # type: ignore[no-any-return]  # the same

    columns = every_rule(names)
    kinds = list(CheckedKind)
    checks = {
        column["header"]: CellCheck(True, ("a", "1"), 3, kinds[at % len(kinds)], ("EUR",), ("2", "99"))
        if at % 2
        else CellCheck(kind=kinds[at // 2 % len(kinds)], currencies=("EUR",), reserved_prefixes=("2",))
        for at, column in enumerate(columns)
    }
    output = columns_of(columns, checks, [list(checks)[:2]])

    def xml(selection: Selection, *, attributes: bool) -> Encode:
        layout = Layout("p", attributes, frozenset(names[::3]))
        return implementation.XmlElements("p", selection, Tally(), layout=layout).encode  # type: ignore[no-any-return]  # the same

    rows = implementation.SheetRows("p", names, Selection(), Tally(), first_style=2)
    return [
        csv(names, Selection()),
        csv(chosen, Selection(chosen)),
        csv(("id",), Selection(("nobody",))),
        json(Selection(), None, "\n"),
        json(Selection(chosen), None, "\n"),
        json(without, "\n  ", ",\n  "),
        xml(Selection(), attributes=False),
        xml(Selection(chosen), attributes=False),
        xml(Selection(chosen), attributes=True),
        xml(without, attributes=True),
        lambda batch: rows.encode(batch, 2),
        implementation.Discovery(Selection(), {}).note,
        csv(output.headers, selection_of(output)),
        implementation.FlatObjects("p", selection_of(output), Tally(), newline=None, ending="\n").encode,
        hashed(implementation),
        reducer(implementation)(reductions_of(("fr_FR", "en_US"), {"fr_FR": ("id",)}, ("EUR",))).reduce,
    ]


def hashed(implementation: ModuleType) -> Encode:
    """Rows with their keys and hashes; the reference's class has a module of its own."""
    lines = implementation.JsonObjects("p", Selection(), Tally(), newline=None, ending="\n")
    rows = getattr(implementation, "RowHashes", row_hashes.RowHashes)(lines, ("id",), b"\n")

    def encode(batch: bytes) -> tuple[bytes, int, bytes, list[int]]:
        found = rows.encode(batch)
        return found.text, found.rows, found.entries, list(found.ends)

    return encode


def reducer(implementation: ModuleType) -> type[locales.Reducer]:
    """The implementation's reducer; the reference's has a module of its own."""
    return getattr(implementation, "Reducer", locales.Reducer)


def every_rule(names: tuple[str, ...]) -> list[Any]:
    """Columns with every source and every rule, over these fields."""
    first, second, third, *_ = *names, "a", "b", "c"
    several = list(names[:8]) or ["a"]
    return [
        {"header": "0", "field": first, "fallback": several, "map": {"a": "b", "": "c", "1": "d"}, "max_length": 3},
        {"header": "1", "first_of": several, "number": {"decimals": 2, "thousands": " ", "prefix": "€"}},
        {"header": "2", "template": "x {" + second.replace("{", "").replace("}", "") + "} y", "case": "upper"},
        {"header": "3", "field": third, "join": ", ", "strip_html": True, "case": "lower"},
        {"header": "4", "first_of": several, "date": {"format": "%Y %j %A %B %z"}, "bool": ["yes", "no"]},
        {"header": "5", "value": "=1", "case": "capitalize", "max_length": 1},
        *({"header": f"f{number}", "field": name, "number": {}} for number, name in enumerate(several)),
    ]


if __name__ == "__main__":
    sys.exit(main())
