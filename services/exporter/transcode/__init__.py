"""Raw BSON batches in, bytes of a file format out.

`reference` defines the result in plain Python; `compiled` gives the same bytes many times as fast, where it was built.
"""

from services.exporter.transcode.choice import Transcoders, transcoders
from services.exporter.transcode.pieces import Pieces
from services.exporter.transcode.reference import CsvRows, Encoded, discover

__all__ = ["CsvRows", "Encoded", "Pieces", "Transcoders", "discover", "transcoders"]
