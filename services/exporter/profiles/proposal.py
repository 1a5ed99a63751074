"""Proposes a profile whose exports have the header of a receiver's blank file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.exporter.profiles.header_file import read_header
from services.exporter.profiles.matching import Match, match_columns


@dataclass(frozen=True, slots=True)
class Proposal:
    """The format and options of a profile, and the columns that no field was found for."""

    format: str
    options_json: str
    open: tuple[Match, ...]


def propose(content: bytes, media_type: str, fields: Sequence[str]) -> Proposal:
    """A profile for a file like this one. A column without a field is written empty, so that the header is complete.

    Blocks, for about two seconds at most: call it in a thread.

    Args:
        content: of a CSV file or a workbook.
        fields: the names of the catalogue's fields.

    Raises:
        BadRequest: the file has no header that can be read.
    """
    header = read_header(content, media_type)
    matches = match_columns(header.columns, fields)
    columns = [
        {"header": one.header, "value": ""} if one.field is None else {"header": one.header, "field": one.field}
        for one in matches
    ]
    options = json.dumps({"columns": columns, **header.options}, ensure_ascii=False)
    return Proposal(header.format, options, tuple(one for one in matches if one.field is None))
