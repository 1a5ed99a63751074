# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled transcoders: raw BSON to the bytes of a format, with the GIL released for a whole batch.

Documents that are damaged or contain rare types are passed to the Python reference one by one. So this code only has to
handle the common types, and both implementations write the same bytes.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport fabs, isfinite, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy, memset, strlen

import operator
import os
from array import array
from json.encoder import encode_basestring

import bson

from services.exporter.catalogue import codes
from services.exporter.transcode import locales, reference, row_hashes
from services.exporter.transcode.elements import element_name
from services.exporter.transcode.reference import Encoded
from services.exporter.transcode.row_hashes import HashedRows
from services.exporter.transcode.sheet_xml import column_letters
from services.exporter.transcode.values import as_object, documents, escaped, parts

include "native/output.pxi"
include "native/utf8.pxi"
include "native/scan.pxi"
include "native/numbers.pxi"
include "native/doubles.pxi"
include "native/dates.pxi"
include "native/elements.pxi"
include "native/keys.pxi"
include "native/texts.pxi"
include "native/json.pxi"
include "native/json_selection.pxi"
include "native/rows.pxi"
include "native/xml.pxi"
include "native/lines.pxi"
include "native/cells.pxi"
include "native/cell_rules.pxi"
include "native/siphash.pxi"
include "native/row_hashes.pxi"
include "native/cell_checks.pxi"
include "native/engines.pxi"
include "native/flat.pxi"
include "native/objects.pxi"
include "native/locales.pxi"
include "native/selected_objects.pxi"
include "native/xml_elements.pxi"


class Discovery(reference.Discovery):
    """Finds the leaves of documents."""

    def __init__(self, selection, seen):
        super().__init__(selection, seen)
        self._engine = Leaves(self._names, self._by_reference)

    def note(self, batch):
        """Add the names of the batch's leaves."""
        self._engine.encode(batch)

    def _by_reference(self, document, row):
        super().note(document)
        return Encoded(b"", 1)


class CsvRows(reference.CsvRows):
    """Lines of RFC 4180."""

    def __init__(self, sheet, columns, selection, tally, *, delimiter, escape_formulas):
        super().__init__(sheet, columns, selection, tally, delimiter=delimiter, escape_formulas=escape_formulas)
        self._engine = Lines(self._rows, self._by_reference, selection, tally, ord(delimiter), escape_formulas)

    def encode(self, batch):
        """The lines of a batch, one per document."""
        return self._engine.encode(batch)

    def _by_reference(self, document, row):
        return super().encode(document)


class JsonObjects(reference.JsonObjects):
    """Documents as JSON objects; nesting is kept."""

    def __init__(self, sheet, selection, tally, *, newline, ending, quote_decimals=False):
        super().__init__(sheet, selection, tally, newline=newline, ending=ending, quote_decimals=quote_decimals)
        indent = NONE if newline is None else len(newline) - 1
        if self._names is None:
            self._engine = Objects(self._by_reference, selection.exclude, indent, ending.encode(), quote_decimals)
        else:
            fields = getattr(selection, "include")  # `include` is a keyword in Cython
            self._engine = SelectedObjects(self._names, self._by_reference, fields, indent, ending.encode(), quote_decimals)

    def encode(self, batch):
        """The objects of a batch."""
        return self._engine.encode(batch)

    def _by_reference(self, document, row):
        return super().encode(document)


class FlatObjects(reference.FlatObjects):
    """The columns of a request as JSON objects."""

    def __init__(self, sheet, selection, tally, *, newline, ending, quote_decimals=False):
        super().__init__(sheet, selection, tally, newline=newline, ending=ending, quote_decimals=quote_decimals)
        indent = NONE if newline is None else len(newline) - 1
        self._engine = FlatLines(
            self._rows, self._by_reference, selection, tally, self._rows.columns, indent, ending.encode(), quote_decimals
        )

    def encode(self, batch):
        """The objects of a batch, one per document that is not skipped."""
        return self._engine.encode(batch)

    def _by_reference(self, document, row):
        return super().encode(document)


class XmlElements(reference.XmlElements):
    """Documents as XML elements, one per line; nesting is kept."""

    def __init__(self, sheet, selection, tally, *, layout):
        super().__init__(sheet, selection, tally, layout=layout)
        if self._rows is not None:
            self._engine = FlatElements(self._rows, self._by_reference, selection, tally, self._members, layout)
        elif self._names is None:
            self._engine = XmlObjects(self._by_reference, selection.exclude, layout)
        else:
            fields = getattr(selection, "include")  # `include` is a keyword in Cython
            self._engine = SelectedXml(self._names, self._by_reference, fields, layout)

    def encode(self, batch):
        """The elements of a batch."""
        return self._engine.encode(batch)

    def _by_reference(self, document, row):
        return super().encode(document)


class SheetRows(reference.SheetRows):
    """Rows of a worksheet's XML."""

    def __init__(self, sheet, columns, selection, tally, *, first_style):
        super().__init__(sheet, columns, selection, tally, first_style=first_style)
        self._engine = XmlRows(self._rows, self._by_reference, selection, tally, len(columns), first_style)

    def longest(self):
        """Characters of the longest cell of each column, whether written here or by the reference."""
        return list(map(max, self._engine.shown(), super().longest()))

    def contents(self):
        """What each column holds, whether written here or by the reference."""
        return list(map(operator.or_, self._engine.held(), super().contents()))

    def encode(self, batch, first):
        """The rows of a batch as XML, numbered from `first`; truncated cells are counted in the tally."""
        return self._engine.encode(batch, first)

    def _by_reference(self, document, row):
        return super().encode(document, row)


class RowHashes(row_hashes.RowHashes):
    """Writes the rows of a compiled transcoder, and hashes them."""

    sorted_entries = staticmethod(sorted_entries)
    grouped_entries = staticmethod(grouped_entries)
    split = staticmethod(split_entries)
    sift = staticmethod(sift)

    def __init__(self, transcoder, keys, ending=b""):
        super().__init__(transcoder, keys, ending)
        self._engine = transcoder._engine
        paths = [[key.encode("utf-8", "surrogatepass") for key in path] for _, path in self._keys]
        self._engine.hash_rows(paths, self._key_of)

    def encode(self, batch):
        """The rows of a batch, with an entry for each."""
        text, rows = self._transcoder.encode(batch)
        entries, ends = self._engine.hashed()
        return HashedRows(text, rows, entries, ends)


class Reducer(locales.Reducer):
    """Reduces batches of documents."""

    def __init__(self, reductions):
        super().__init__(reductions)
        self._engine = BatchReducer(reductions)

    def reduce(self, batch):
        """The batch with reduced documents; a damaged document stays as it is."""
        return self._engine.reduce(batch)


def double_text(double value):
    """A finite double as the transcoders write it; tests compare it with Python's repr."""
    cdef Out out
    memset(&out, 0, sizeof(Out))
    put_double(&out, value)
    text = out.bytes[:out.size].decode()
    free(out.bytes)
    return text


def first_wrong_double(unsigned long long seed, int count):
    """The first of `count` pseudo-random doubles that is not written like Python's repr; None if all are."""
    cdef uint64_t bits = seed
    cdef double value
    cdef Out out
    cdef int _
    memset(&out, 0, sizeof(Out))
    try:
        for _ in range(count):
            bits = bits * <uint64_t> 6364136223846793005 + <uint64_t> 1442695040888963407
            memcpy(&value, &bits, 8)
            if isfinite(value):
                out.size = 0
                put_double(&out, value)
                if out.bytes[:out.size] != repr(value).encode():
                    return value
        return None
    finally:
        free(out.bytes)
