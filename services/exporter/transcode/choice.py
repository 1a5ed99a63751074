"""Chooses who transcodes: the compiled implementation where it was built, else the plain one, which gives the same."""

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
        ImportError: there was no C compiler at hand when this was installed.
    """
    from services.exporter.transcode import compiled

    return Transcoders("compiled", compiled.CsvRows, compiled.JsonObjects, compiled.SheetRows, compiled.Discovery)


@cache
def transcoders() -> Transcoders:
    """The faster one of those that are there; said in the log when it is asked for first."""
    try:
        chosen = compiled_transcoders()
    except ImportError as exc:
        log.warning(
            "transcoding", implementation=PLAIN.name, reason=str(exc), advice="run `make setup` with a compiler"
        )
        return PLAIN
    log.info("transcoding", implementation=chosen.name)
    return chosen
