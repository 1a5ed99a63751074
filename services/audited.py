"""What the audit log records: every gRPC method that changes something, and what the `keys` command does.

Beside `wire`, because every service and the gateway need it; the chassis knows no method. A test compares it with the
protos.
"""

from collections.abc import Mapping

from services.chassis.audit.entry import Action

METHODS: Mapping[str, Action] = {
    "CreateJob": Action("job.create", ("job_id", "schedule_id")),
    "CancelJob": Action("job.cancel", ("job_id",)),
    "RetryJob": Action("job.retry", ("job_id",)),
    "DeleteJob": Action("job.delete", ("job_id",)),
    "DeliverJob": Action("job.deliver", ("job_id", "platform_id")),
    "RetryDelivery": Action("delivery.retry", ("delivery_id",)),
    "CreatePlatform": Action("platform.create", ("platform_id",)),
    "UpdatePlatform": Action("platform.update", ("platform_id",)),
    "DeletePlatform": Action("platform.delete", ("platform_id",)),
    "TestPlatform": Action("platform.test", ("platform_id",)),
    "CreateSchedule": Action("schedule.create", ("schedule_id", "platform_id")),
    "UpdateSchedule": Action("schedule.update", ("schedule_id", "platform_id")),
    "DeleteSchedule": Action("schedule.delete", ("schedule_id",)),
    "RunSchedule": Action("schedule.run", ("schedule_id",)),
}
READ_ONLY = frozenset(
    {
        "CheckJob",
        "GetJob",
        "ListJobs",
        "WatchJob",
        "WatchChanges",
        "ListFormats",
        "GetJobUsage",
        "GetJobFile",
        "ListCompletions",
        "GetPlatform",
        "ListPlatforms",
        "ListPlatformTypes",
        "GetPlatformUsage",
        "ListDeliveries",
        "GetDelivery",
        "GetSchedule",
        "ListSchedules",
        "ListRuns",
        "ListUpcomingTimes",
        "PreviewSchedule",
        "GetScheduleUsage",
    }
)
"""The other methods, which are not recorded."""

KEY_CREATE, KEY_REVOKE = "key.create", "key.revoke"
ACTIONS = tuple(sorted([*(action.name for action in METHODS.values()), KEY_CREATE, KEY_REVOKE]))
RESOURCES = ("job", "platform", "schedule", "delivery", "key")
