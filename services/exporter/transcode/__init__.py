"""Turns batches of raw BSON into the bytes of a file format.

`reference` defines the result in plain Python. `compiled` writes the same bytes many times faster, where it was built.
"""

from services.exporter.transcode.batch_slicer import BatchSlicer
from services.exporter.transcode.choice import Transcoders, transcoders
from services.exporter.transcode.reference import CsvRows, Encoded, JsonObjects, discover
from services.exporter.transcode.tally import Tally, UnforeseenColumn

__all__ = [
    "BatchSlicer",
    "CsvRows",
    "Encoded",
    "JsonObjects",
    "Tally",
    "Transcoders",
    "UnforeseenColumn",
    "discover",
    "transcoders",
]
