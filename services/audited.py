"""What the audit log records: every gRPC method that changes something, and what the `keys` command does.

Beside `wire`, because every service and the gateway need it; the chassis knows no method. A test compares it with the
protos.
"""

from collections.abc import Mapping

from services.chassis.audit.entry import Action

METHODS: Mapping[str, Action] = {
    "CreateJob": Action("job.create", ("job_id", "schedule_id", "profile_id")),
    "CancelJob": Action("job.cancel", ("job_id",)),
    "CancelOperation": Action("job.cancel", ("job_id",)),
    "DeleteOperation": Action("job.delete", ("job_id",)),
    "RetryJob": Action("job.retry", ("job_id",)),
    "DeleteJob": Action("job.delete", ("job_id",)),
    "DeliverJob": Action("job.deliver", ("job_id", "platform_id")),
    "RetryDelivery": Action("delivery.retry", ("delivery_id",)),
    "CreateProfile": Action("profile.create", ("profile_id",)),
    "UpdateProfile": Action("profile.update", ("profile_id",)),
    "DeleteProfile": Action("profile.delete", ("profile_id",)),
    "CreatePlatform": Action("platform.create", ("platform_id",)),
    "UpdatePlatform": Action("platform.update", ("platform_id",)),
    "DeletePlatform": Action("platform.delete", ("platform_id",)),
    "TestPlatform": Action("platform.test", ("platform_id",)),
    "CreateWebhook": Action("webhook.create", ("webhook_id",)),
    "UpdateWebhook": Action("webhook.update", ("webhook_id",)),
    "DeleteWebhook": Action("webhook.delete", ("webhook_id",)),
    "RotateWebhookSecret": Action("webhook.rotate_secret", ("webhook_id",)),
    "TestWebhook": Action("webhook.test", ("webhook_id",)),
    "ReplayEvents": Action("webhook.replay", ("webhook_id",)),
    "CreateSchedule": Action("schedule.create", ("schedule_id", "platform_id", "profile_id")),
    "UpdateSchedule": Action("schedule.update", ("schedule_id", "platform_id", "profile_id")),
    "DeleteSchedule": Action("schedule.delete", ("schedule_id",)),
    "RunSchedule": Action("schedule.run", ("schedule_id",)),
    "ResetBaseline": Action("schedule.reset_baseline", ("schedule_id",)),
}
READ_ONLY = frozenset(
    {
        "CheckJob",
        "PreviewJob",
        "GetJob",
        "ListJobs",
        "GetJobReport",
        "WatchJob",
        "WaitJob",
        "GetOperation",
        "ListOperations",
        "WaitOperation",
        "WatchChanges",
        "ListFormats",
        "ListTemplates",
        "ListFields",
        "GetJobUsage",
        "GetJobFile",
        "ListLostRows",
        "BatchGetJobFiles",
        "NoteDeliveries",
        "ListEndedJobs",
        "GetProfile",
        "ListProfiles",
        "ListProfileVersions",
        "GetProfileVersion",
        "ProposeProfile",
        "GetProfileUsage",
        "GetPlatform",
        "BatchGetPlatforms",
        "ListPlatforms",
        "ListPlatformTypes",
        "GetPlatformUsage",
        "ListDeliveries",
        "GetDelivery",
        "GetWebhook",
        "ListWebhooks",
        "GetWebhookUsage",
        "ListWebhookMessages",
        "ListEvents",
        "RecordMissedRuns",
        "GetSchedule",
        "ListSchedules",
        "ListRuns",
        "GetRun",
        "ListUpcomingTimes",
        "PreviewSchedule",
        "GetBaseline",
        "GetScheduleUsage",
    }
)
"""The other methods, which are not recorded: they change nothing that a caller has asked for."""

KEY_CREATE, KEY_REVOKE = "key.create", "key.revoke"
ACTIONS = tuple(sorted({*(action.name for action in METHODS.values()), KEY_CREATE, KEY_REVOKE}))
RESOURCES = ("job", "profile", "platform", "schedule", "delivery", "webhook", "key")
