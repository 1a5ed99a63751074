"""Chooses the transcoders: the compiled ones if they were built, else the Python ones, which write the same bytes."""

from dataclasses import dataclass
from functools import cache

import structlog

from services.exporter.transcode import reference

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Transcoders:
    """One implementation."""

    name: str
    csv_rows: type[reference.CsvRows]
    json_objects: type[reference.JsonObjects]
    sheet_rows: type[reference.SheetRows]
    discovery: type[reference.Discovery]


PLAIN = Transcoders("python", reference.CsvRows, reference.JsonObjects, reference.SheetRows, reference.Discovery)


def compiled_transcoders() -> Transcoders:
    """The compiled implementation.

    Raises:
        ImportError: it was not built, because there was no C compiler.
    """
    from services.exporter.transcode import compiled

    return Transcoders("compiled", compiled.CsvRows, compiled.JsonObjects, compiled.SheetRows, compiled.Discovery)


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
