"""Members of JSON objects as text: values are moved and never rewritten, so numbers keep all their digits. Pure."""

import json
import re
from collections.abc import Iterator

_NAME = re.compile(r'[\s,]*(")')
_COLON = re.compile(r"\s*:\s*")


def members(text: str) -> Iterator[tuple[str, str]]:
    """The names and the text of the values of a valid JSON object, in order."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while (found := _NAME.match(text, at)) is not None:
        name, after = decoder.raw_decode(text, found.start(1))
        colon = _COLON.match(text, after)
        start = colon.end() if colon else after
        _, at = decoder.raw_decode(text, start)
        yield name, text[start:at]


def without(text: str, name: str) -> str:
    """A valid JSON object without a member."""
    kept = (f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in members(text) if key != name)
    return f"{{{', '.join(kept)}}}"


def with_member(text: str, name: str, value: str) -> str:
    """A JSON object with one more member at its end. Text that is not an object stays as it is.

    Args:
        value: JSON text.
    """
    stripped = text.strip()
    if len(stripped) < 2 or not (stripped.startswith("{") and stripped.endswith("}")):
        return text
    inner = stripped[1:-1].strip()
    return f"{{{inner}{', ' if inner else ''}{json.dumps(name)}: {value}}}"
