"""File names from templates such as `products_{date}`, safe on every system, in headers and in paths. Pure."""

import re
from collections.abc import Mapping, Sequence

MAX_NAME_LENGTH = 200
"""In characters, including the extension."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Characters that are special on Windows, macOS or in a shell, and all that could end a header line.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029/\\:*?"<>|]')


def template_problem(template: str, placeholders: Sequence[str]) -> str | None:
    """What is wrong with a template; None when it is valid."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in placeholders]
    if unknown:
        offered = ", ".join(f"{{{name}}}" for name in placeholders)
        return f"unknown placeholder {{{unknown[0]}}}; known are {offered}"
    if "{" in _PLACEHOLDER.sub("", template) or "}" in _PLACEHOLDER.sub("", template):
        return "has an unpaired brace"
    bad = _FORBIDDEN.search(template)
    if bad:
        return f"has the character {bad.group()!r}, which is not allowed in file names"
    if not template.strip(" ."):
        return "is empty"
    return None


def filled(template: str, values: Mapping[str, str], *, extension: str, fallback: str) -> str:
    """The name with its extension, at most `MAX_NAME_LENGTH` characters; `fallback` when nothing of it remains."""
    name = _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)
    name = _FORBIDDEN.sub("_", name).strip(" .") or fallback
    stem = name[: -len(extension)] if name.lower().endswith(extension) else name
    return stem[: MAX_NAME_LENGTH - len(extension)] + extension
