"""Reduces objects whose keys are locales or currencies to those that a request names, in raw BSON.

It works on the bytes, so everything else in a document stays as it is, and every format and the discovery of columns
see the reduced documents only. Defines the result; `native/locales.pxi` does the same much faster.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.exporter.catalogue.codes import is_currency, is_locale

MAX_DEPTH = 100
_OBJECT, _LIST, _TEXT, _NULL, _UNDEFINED = 3, 4, 2, 10, 6
_SIZES = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
"""Bytes of the types of values that have a fixed size."""
_COUNTED = {2: 4, 13: 4, 14: 4, 12: 16, 5: 5, 3: 0, 4: 0, 15: 0}
"""Bytes that the types which begin with their size have besides it."""
_REGEX = 11


@dataclass(frozen=True)
class Reduction:
    """What is kept of an object with codes as keys.

    Args:
        wanted: the codes in the order of the result, each with those to use instead, in this order, where it has no
            value. With a single one, its value takes the place of the object; null if there is none.
    """

    wanted: Mapping[str, Sequence[str]]
    is_code: Callable[[str], bool]
    named: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "named", frozenset(code for one, others in self.wanted.items() for code in (one, *others))
        )

    def applies(self, keys: Sequence[str]) -> bool:
        """Whether an object is reduced: all its keys are codes, and one has a region or is one that is asked for.

        So `{"id": 7}` is not taken for an object of Indonesian texts.
        """
        return bool(keys) and all(map(self.is_code, keys)) and any(len(key) > 2 or key in self.named for key in keys)


def reductions_of(
    locales: Sequence[str], fallback: Mapping[str, Sequence[str]], currencies: Sequence[str]
) -> tuple[Reduction, ...]:
    """The reductions that a request asks for; empty: none."""
    found = []
    if locales:
        found.append(Reduction({one: tuple(fallback.get(one, ())) for one in locales}, is_locale))
    if currencies:
        found.append(Reduction(dict.fromkeys(currencies, ()), is_currency))
    return tuple(found)


class Reducer:
    """Reduces batches of documents."""

    def __init__(self, reductions: Sequence[Reduction]) -> None:
        self._reductions = reductions

    def reduce(self, batch: bytes) -> bytes:
        """The batch with reduced documents; a damaged document stays as it is, for whoever reads it to report."""
        pieces, at = [], 0
        while at < len(batch):
            size = int.from_bytes(batch[at : at + 4], "little", signed=True)
            if size < 5 or at + size > len(batch):
                pieces.append(batch[at:])
                break
            document = batch[at : at + size]
            try:
                pieces.append(self._object(document, 0))
            except _Unreadable:
                pieces.append(document)
            at += size
        return b"".join(pieces)

    def _object(self, raw: bytes, depth: int) -> bytes:
        """An object or list, with everything in it reduced."""
        if depth > MAX_DEPTH:
            raise _Unreadable
        pieces = []
        for kind, key, value in _elements(raw):
            if kind in (_OBJECT, _LIST):
                kind, value = self._value(kind, value, depth + 1)
            pieces.append(bytes((kind,)) + key + b"\0" + value)
        body = b"".join(pieces)
        return (len(body) + 5).to_bytes(4, "little") + body + b"\0"

    def _value(self, kind: int, raw: bytes, depth: int) -> tuple[int, bytes]:
        if kind == _OBJECT:
            elements = list(_elements(raw))
            try:
                keys = [key.decode() for _, key, _ in elements]
            except UnicodeDecodeError:
                keys = []
            for reduction in self._reductions:
                if reduction.applies(keys):
                    # The first of several elements with the same key counts.
                    return self._reduced(reduction, dict(reversed([*zip(keys, elements, strict=True)])), depth)
        return kind, self._object(raw, depth)

    def _reduced(
        self, reduction: Reduction, elements: Mapping[str, tuple[int, bytes, bytes]], depth: int
    ) -> tuple[int, bytes]:
        chosen = {}
        for code, others in reduction.wanted.items():
            values = (elements[one] for one in (code, *others) if one in elements)
            found = next((value for value in values if not _is_missing(value[0], value[2])), None)
            if found is not None:
                kind, _, value = found
                chosen[code] = self._value(kind, value, depth + 1) if kind in (_OBJECT, _LIST) else (kind, value)
        if len(reduction.wanted) == 1:
            return next(iter(chosen.values()), (_NULL, b""))
        body = b"".join(bytes((kind,)) + code.encode() + b"\0" + value for code, (kind, value) in chosen.items())
        return _OBJECT, (len(body) + 5).to_bytes(4, "little") + body + b"\0"


class _Unreadable(Exception):
    """The document is damaged, or has a type that is not read here."""


def _is_missing(kind: int, value: bytes) -> bool:
    return kind in (_NULL, _UNDEFINED) or (kind == _TEXT and len(value) == 5)


def _elements(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements of an object: type, key without its NUL, value."""
    at, end = 4, len(raw) - 1
    while at < end:
        kind = raw[at]
        nul = raw.find(b"\0", at + 1, end)
        if nul < 0:
            raise _Unreadable
        begin = nul + 1
        size = _size(kind, raw, begin, end)
        if size < 0 or begin + size > end:
            raise _Unreadable
        yield kind, raw[at + 1 : nul], raw[begin : begin + size]
        at = begin + size


def _size(kind: int, raw: bytes, at: int, end: int) -> int:
    """Bytes of a value, which may end after `end`; -1 if it is damaged."""
    if kind in _SIZES:
        return _SIZES[kind]
    if kind == _REGEX:  # two texts that end with NUL
        first = raw.find(b"\0", at, end)
        second = raw.find(b"\0", first + 1, end) if first >= 0 else -1
        return second + 1 - at if second >= 0 else -1
    if kind not in _COUNTED or end - at < 4:
        return -1
    counted = int.from_bytes(raw[at : at + 4], "little", signed=True)
    return counted + _COUNTED[kind] if counted >= (5 if kind in (_OBJECT, _LIST) else 0) else -1
