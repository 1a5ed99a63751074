"""Whether an export can have the changes since another one. Pure."""

from services.chassis.faults import ErrorInfo
from services.exporter.jobs.job import Job, JobState

_FULL = "Make a full export with manifest: true and use its id, or set on_missing_baseline to 'full'."
DIFFERENT_COLUMNS = ErrorInfo(
    "baseline_differs",
    "The file would have other columns than that of the job in changes_since, so its rows cannot be compared. "
    "Name the columns with include_fields, so that they stay the same. " + _FULL,
)


def baseline_problem(base: Job | None, base_id: str, options: str) -> ErrorInfo | None:
    """Why an export with these options cannot be compared with a job; None: it can.

    Args:
        options: as in a manifest.
    """
    if base is None:
        return ErrorInfo("baseline_missing", f"changes_since: there is no job {base_id}. {_FULL}")
    if base.state not in (JobState.COMPLETED, JobState.EXPIRED):
        text = f"changes_since: the job {base_id} is {base.state.value}; only a completed job can be compared with."
        return ErrorInfo("baseline_not_completed", f"{text} {_FULL}")
    if base.manifest is None:
        text = f"changes_since: the job {base_id} has no manifest, or it is not kept any more."
        return ErrorInfo("baseline_missing", f"{text} {_FULL}")
    if base.manifest.options != options:
        text = (
            f"changes_since: the job {base_id} has another format or other options. Only filters, limit, order_by, "
            "compression, file_name, platform_ids and the options of changes themselves may differ."
        )
        return ErrorInfo("baseline_differs", f"{text} {_FULL}")
    return None


def made_in_full(problem: ErrorInfo) -> ErrorInfo:
    """The warning on a job whose file has all rows although changes were asked for."""
    return ErrorInfo("full_export", f"The file has all rows, without the column _change. {problem.message}"[:1_000])
