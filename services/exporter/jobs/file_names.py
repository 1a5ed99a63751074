"""The name of the finished file, from the template of the request or the default one. Pure."""

from datetime import UTC, datetime

from services.chassis import file_names

PLACEHOLDERS = ("format", "date", "time", "schedule", "job")
DEFAULT_TEMPLATE = "products_{date}_{time}"
MAX_NAME_LENGTH = file_names.MAX_NAME_LENGTH


def template_problem(template: str) -> str | None:
    """What is wrong with a template; None when it is valid."""
    return file_names.template_problem(template, PLACEHOLDERS)


def file_name(
    template: str | None, *, extension: str, form: str, job_id: str, schedule: str, created_at: datetime
) -> str:
    """The file's name with its extension, at most 200 characters; times are in UTC."""
    at = created_at.astimezone(UTC)
    values = {
        "format": form,
        "date": at.strftime("%Y-%m-%d"),
        "time": at.strftime("%H%M%S"),
        "schedule": schedule,
        "job": job_id,
    }
    return file_names.filled(template or DEFAULT_TEMPLATE, values, extension=extension, fallback=form)
