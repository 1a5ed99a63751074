"""The name of the finished file, from a template of the request or of ours. Pure."""

import re
from datetime import UTC, datetime

PLACEHOLDERS = ("format", "date", "time", "schedule", "job")
DEFAULT_TEMPLATE = "products_{date}_{time}"
LONGEST = 200
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# What Windows, macOS or a shell would trip over, and everything that could end a header line.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029/\\:*?"<>|]')


def template_problem(template: str) -> str | None:
    """What is wrong with a template, as a sentence that says what to do; None when it is right."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]
    if unknown:
        offered = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        return f"unknown placeholder {{{unknown[0]}}}; there are {offered}"
    if "{" in _PLACEHOLDER.sub("", template) or "}" in _PLACEHOLDER.sub("", template):
        return "has a brace without its pair"
    bad = _FORBIDDEN.search(template)
    if bad:
        return f"has the character {bad.group()!r}, which a file name cannot hold"
    if not template.strip(" ."):
        return "is empty"
    return None


def file_name(
    template: str | None, *, extension: str, form: str, job_id: str, schedule: str, created_at: datetime
) -> str:
    """The file's name, with its extension, at most 200 characters; times are UTC."""
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
    stem = name[: -len(extension)] if name.lower().endswith(extension) else name
    return stem[: LONGEST - len(extension)] + extension
