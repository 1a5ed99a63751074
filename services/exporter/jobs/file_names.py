"""The name of the finished file, from a template of the request or of ours. Pure."""

from datetime import UTC, datetime

from services.chassis import file_names

PLACEHOLDERS = ("format", "date", "time", "schedule", "job")
DEFAULT_TEMPLATE = "products_{date}_{time}"
LONGEST = file_names.LONGEST


def template_problem(template: str) -> str | None:
    """What is wrong with a template, as a sentence that says what to do; None when it is right."""
    return file_names.template_problem(template, PLACEHOLDERS)


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
    return file_names.filled(template or DEFAULT_TEMPLATE, values, extension=extension, otherwise=form)
