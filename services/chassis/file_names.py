"""Names of files from templates such as `products_{date}`: safe on every system, in a header and in a path. Pure."""

import re
from collections.abc import Mapping, Sequence

LONGEST = 200
"""Characters of a name, with its extension."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# What Windows, macOS or a shell would trip over, and everything that could end a header line.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029/\\:*?"<>|]')


def template_problem(template: str, placeholders: Sequence[str]) -> str | None:
    """What is wrong with a template, as a sentence that says what to do; None when it is right."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in placeholders]
    if unknown:
        offered = ", ".join(f"{{{name}}}" for name in placeholders)
        return f"unknown placeholder {{{unknown[0]}}}; there are {offered}"
    if "{" in _PLACEHOLDER.sub("", template) or "}" in _PLACEHOLDER.sub("", template):
        return "has a brace without its pair"
    bad = _FORBIDDEN.search(template)
    if bad:
        return f"has the character {bad.group()!r}, which a file name cannot hold"
    if not template.strip(" ."):
        return "is empty"
    return None


def filled(template: str, values: Mapping[str, str], *, extension: str, otherwise: str) -> str:
    """The name, with its extension, at most `LONGEST` characters; `otherwise` when nothing of it is left."""
    name = _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)
    name = _FORBIDDEN.sub("_", name).strip(" .") or otherwise
    stem = name[: -len(extension)] if name.lower().endswith(extension) else name
    return stem[: LONGEST - len(extension)] + extension
