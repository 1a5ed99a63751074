"""Raw BSON batches in, bytes of a file format out.

`reference` defines the result in plain Python; a compiled implementation has to give the same bytes.
"""

from services.exporter.transcode.pieces import Pieces
from services.exporter.transcode.reference import CsvRows, Discovery, Encoded, JsonObjects, SheetRows, discover

__all__ = ["CsvRows", "Discovery", "Encoded", "JsonObjects", "Pieces", "SheetRows", "discover"]
