"""Parquet: typed columns; types are derived from the documents. pyarrow writes the file."""

import io
from collections.abc import Callable, Generator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from bson import Decimal128

from services.exporter.formats.contract import COMPRESSED_ALREADY, ExportOptions, Sheet
from services.exporter.transcode import BatchSlicer, Tally
from services.exporter.transcode.column_types import TEXT_TYPE, TypedColumns, decimal_size, item_type
from services.exporter.transcode.values import TEXT

MAX_GROUP_ROWS = 1 << 16
MAX_GROUP_BYTES = 8 << 20
"""Of the documents in a row group, which is kept in memory until it is written; it ends with the document that
reaches it."""
MAX_GROUP_CELLS = 1 << 24
"""Of a row group, whether they have a value or not."""
MAX_PIECE_CELLS = 1 << 17
"""The number of rows that are Python objects at the same time."""


class ParquetOptions(ExportOptions):
    """None of its own: the file describes itself."""

    refused: ClassVar[Mapping[str, str]] = COMPRESSED_ALREADY

    @property
    def shows_types(self) -> bool:
        """Always."""
        return True


class Parquet:
    """The products as a Parquet file."""

    name: ClassVar[str] = "parquet"
    flat: ClassVar[bool] = True
    media_types: ClassVar[Sequence[str]] = ("application/vnd.apache.parquet",)
    Options: ClassVar[type[ExportOptions]] = ParquetOptions

    def extension(self, options: ParquetOptions) -> str:  # noqa: ARG002
        """Always `.parquet`."""
        return ".parquet"

    def media_type(self, options: ParquetOptions) -> str:  # noqa: ARG002
        """As registered with IANA."""
        return self.media_types[0]

    def sheets(self, options: ParquetOptions) -> Sequence[str]:  # noqa: ARG002
        """A Parquet file holds one table."""
        return ["products"]

    def encode(self, sheets: Sequence[Sheet], options: ParquetOptions, tally: Tally) -> Generator[bytes, None, None]:  # noqa: ARG002
        """The row groups one after the other, then the description of the file."""
        import pyarrow  # only for exports that need it: it takes 50 MB of memory
        from pyarrow.parquet import ParquetWriter

        [sheet] = sheets
        tally.records[sheet.name] = 0
        types = [sheet.types.get(name, TEXT_TYPE) for name in sheet.columns]
        schema = pyarrow.schema([(name, arrow_type(kind)) for name, kind in zip(sheet.columns, types, strict=True)])
        rows = TypedColumns(sheet.name, sheet.columns, sheet.selection, tally)
        slicer = BatchSlicer(sheet.batches)
        target = _Target()
        # Without the schema of Arrow, which other readers ignore.
        with ParquetWriter(target, schema, compression="zstd", store_schema=False) as writer:
            while slicer.more():
                pieces = []
                room, enough = max(1, min(MAX_GROUP_ROWS, MAX_GROUP_CELLS // len(types))), MAX_GROUP_BYTES
                while room > 0 and enough > 0 and slicer.more():
                    batch = slicer.take(min(room, max(1, MAX_PIECE_CELLS // len(types))), enough)
                    values, count = rows.values(batch)
                    rows.check(types)
                    arrays = [_array(column, kind) for column, kind in zip(values, types, strict=True)]
                    pieces.append(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))
                    tally.records[sheet.name] += count
                    room, enough = room - count, enough - len(batch)
                # One array per column, so that the pages do not depend on how the documents came.
                writer.write_table(pyarrow.Table.from_batches(pieces, schema).combine_chunks(), MAX_GROUP_ROWS)
                yield target.take()
        tally.types[sheet.name] = rows.types()
        yield target.take()


class _Target(io.RawIOBase):
    """Collects what is written."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last call."""
        written, self._written = bytes(self._written), bytearray()
        return written


def arrow_type(column: str) -> Any:
    """The Arrow type of a column's type."""
    import pyarrow

    if column.startswith("list<"):
        return pyarrow.list_(arrow_type(item_type(column)))
    if size := decimal_size(column):
        return pyarrow.decimal128(*size)
    if column == "timestamp":
        return pyarrow.timestamp("ms", tz="UTC")
    return {
        "bool": pyarrow.bool_(),
        "int64": pyarrow.int64(),
        "double": pyarrow.float64(),
        TEXT_TYPE: pyarrow.string(),
    }[column]


def _array(values: Sequence[Any], column: str) -> Any:
    import pyarrow

    return pyarrow.array(_converted(values, column), arrow_type(column))


def _converted(values: Sequence[Any], column: str) -> Sequence[Any]:
    """Values as pyarrow takes them for this type."""
    if column.startswith("list<"):
        items = item_type(column)
        return [None if value is None else _converted(value, items) for value in values]
    if column == TEXT_TYPE:
        return _each(values, str, lambda value: TEXT[value.__class__](value))
    if column == "double":
        return _each(values, float, lambda value: float(str(value)))
    if decimal_size(column):
        return _each(values, Decimal, _decimal)
    return values


def _each(values: Sequence[Any], kind: type, convert: Callable[[Any], Any]) -> Sequence[Any]:
    """The values, those of another class converted; None stays."""
    if {value.__class__ for value in values} <= {kind, type(None)}:
        return values
    return [value if value is None or value.__class__ is kind else convert(value) for value in values]


def _decimal(value: Any) -> Decimal:
    return value.to_decimal() if isinstance(value, Decimal128) else Decimal(int(value))


FORMAT = Parquet()
