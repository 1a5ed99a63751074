"""Chooses the transcoders: the compiled ones if they were built, else the Python ones, which write the same bytes."""

from dataclasses import dataclass
from functools import cache

import structlog

from services.exporter.transcode import locales, reference, row_hashes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Transcoders:
    """One implementation."""

    name: str
    csv_rows: type[reference.CsvRows]
    json_objects: type[reference.JsonObjects]
    flat_objects: type[reference.FlatObjects]
    xml_elements: type[reference.XmlElements]
    sheet_rows: type[reference.SheetRows]
    discovery: type[reference.Discovery]
    reducer: type[locales.Reducer]
    row_hashes: type[row_hashes.RowHashes]


PLAIN = Transcoders(
    "python",
    reference.CsvRows,
    reference.JsonObjects,
    reference.FlatObjects,
    reference.XmlElements,
    reference.SheetRows,
    reference.Discovery,
    locales.Reducer,
    row_hashes.RowHashes,
)


def compiled_transcoders() -> Transcoders:
    """The compiled implementation.

    Raises:
        ImportError: it was not built, because there was no C compiler.
    """
    from services.exporter.transcode import compiled

    return Transcoders(
        "compiled",
        compiled.CsvRows,
        compiled.JsonObjects,
        compiled.FlatObjects,
        compiled.XmlElements,
        compiled.SheetRows,
        compiled.Discovery,
        compiled.Reducer,
        compiled.RowHashes,
    )


@cache
def transcoders() -> Transcoders:
    """The fastest implementation available; the first call logs which one it is."""
    try:
        chosen = compiled_transcoders()
    except ImportError as exc:
        log.warning(
            "transcoding", implementation=PLAIN.name, reason=str(exc), advice="run `make setup` with a compiler"
        )
        return PLAIN
    log.info("transcoding", implementation=chosen.name)
    return chosen
