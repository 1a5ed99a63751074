"""Turns batches of raw BSON into the bytes of a file format.

`reference` defines the result in plain Python. `compiled` writes the same bytes many times faster, where it was built.
"""

from services.exporter.transcode.batch_slicer import BatchSlicer
from services.exporter.transcode.cell_rules import MissingCell
from services.exporter.transcode.choice import Transcoders, transcoders
from services.exporter.transcode.reference import CsvRows, Encoded, FlatObjects, JsonObjects, XmlElements, discover
from services.exporter.transcode.tally import Tally, UnforeseenColumn

__all__ = [
    "BatchSlicer",
    "CsvRows",
    "Encoded",
    "FlatObjects",
    "JsonObjects",
    "MissingCell",
    "Tally",
    "Transcoders",
    "UnforeseenColumn",
    "XmlElements",
    "discover",
    "transcoders",
]
