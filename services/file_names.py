"""File names from templates such as `products_{date}`, safe on every system, in headers and in paths. Pure.

Beside `wire`, because the exporter names finished files, and delivery the files at a destination.
"""

import re
from datetime import UTC, datetime

MAX_NAME_LENGTH = 200
"""In characters, including the extension."""
PLACEHOLDERS = ("format", "date", "time", "schedule", "job")
DEFAULT_TEMPLATE = "products_{date}_{time}"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Characters that are special on Windows, macOS or in a shell, and all that could end a header line.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029/\\:*?"<>|]')


def template_problem(template: str) -> str | None:
    """What is wrong with a template; None when it is valid."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]
    if unknown:
        offered = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        return f"unknown placeholder {{{unknown[0]}}}; known are {offered}"
    if "{" in _PLACEHOLDER.sub("", template) or "}" in _PLACEHOLDER.sub("", template):
        return "has an unpaired brace"
    bad = _FORBIDDEN.search(template)
    if bad:
        return f"has the character {bad.group()!r}, which is not allowed in file names"
    if not template.strip(" ."):
        return "is empty"
    return None


def file_name(
    template: str | None, *, extension: str, form: str, job_id: str, schedule: str, created_at: datetime
) -> str:
    """The name with its extension, at most `MAX_NAME_LENGTH` characters; the format where nothing of it remains.

    Args:
        template: None: `DEFAULT_TEMPLATE`.
        created_at: of the job; the name has it in UTC.
    """
    at = created_at.astimezone(UTC)
    values = {
        "format": form,
        "date": at.strftime("%Y-%m-%d"),
        "time": at.strftime("%H%M%S"),
        "schedule": schedule,
        "job": job_id,
    }
    name = _PLACEHOLDER.sub(lambda found: values[found.group(1)], template or DEFAULT_TEMPLATE)
    name = _FORBIDDEN.sub("_", name).strip(" .") or form
    # Of `.csv.gz`, a template may have both parts, or only the first.
    given = next((end for end in (extension, extension.rpartition(".")[0]) if end and name.lower().endswith(end)), "")
    stem = name[: len(name) - len(given)]
    return stem[: MAX_NAME_LENGTH - len(extension)] + extension
