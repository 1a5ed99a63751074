"""The scheduler's faults, each with a stable code."""

from services.chassis.faults import Fault, Kind


class SchedulerError(Fault):
    """Base of the scheduler's faults."""


class ScheduleNotFound(SchedulerError):
    kind = Kind.NOT_FOUND

    def __init__(self, schedule_id: str) -> None:
        super().__init__("schedule_not_found", f"There is no schedule {schedule_id}.")


class RunNotFound(SchedulerError):
    kind = Kind.NOT_FOUND

    def __init__(self, run_id: str) -> None:
        super().__init__("run_not_found", f"There is no run {run_id} of this schedule.")


class ScheduleChanging(SchedulerError):
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("schedule_changing", "The schedule was changed by other requests at the same time; try again.")


class IdReused(SchedulerError):
    kind = Kind.MISMATCH

    def __init__(self) -> None:
        super().__init__("schedule_id_reused", "This schedule_id was already used for a different schedule.")


class TooManySchedules(SchedulerError):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int) -> None:
        super().__init__("too_many_schedules", f"The limit of {limit} schedules is reached; delete some.")
