"""The result of reading a record of any file format: an entry that identifies a product and can be applied to it."""

from collections.abc import Callable
from dataclasses import dataclass

from loader.values.identity import Key
from services.exporter.transcode.values import Document


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be loaded."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that can be loaded.

    Attributes:
        size: its number of characters in the file.
        id, sku: the keys of its product.
        applied: takes the current product (None: there is none yet) and returns the new one. Unchanged top-level values
            are the same objects as before. Raises `BadRecord`.
    """

    line: int
    size: int
    id: Key | None
    sku: Key | None
    applied: Callable[[Document | None], Document]


NO_KEY = "there is neither an id nor a sku"
