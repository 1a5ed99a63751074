"""Which caller may call which gRPC method, with mTLS. docs/security.md shows the table; a test compares both.

A caller is known by the name in its certificate. A method that is missing here cannot be called by anyone.
"""

from services.chassis.rpc.callers import Rules

GATEWAY, SCHEDULER, DELIVERY = "gateway", "scheduler", "delivery"
INTERNAL = "internal"
"""Services of the operator that `GRPC_CALLERS` names, each with its tenants."""

_METHODS: dict[str, dict[str, set[str]]] = {
    "ExporterService": {
        "CreateJob": {GATEWAY, SCHEDULER, INTERNAL},
        "CheckJob": {SCHEDULER, INTERNAL},
        "PreviewJob": {GATEWAY, INTERNAL},
        "GetJob": {GATEWAY, SCHEDULER, INTERNAL},
        "ListJobs": {GATEWAY, INTERNAL},
        "GetJobReport": {GATEWAY, INTERNAL},
        "CancelJob": {GATEWAY, INTERNAL},
        "RetryJob": {GATEWAY, INTERNAL},
        "DeleteJob": {GATEWAY, INTERNAL},
        "WatchJob": {INTERNAL},
        "WaitJob": {INTERNAL},
        "WatchChanges": {GATEWAY},
        "ListFormats": {GATEWAY, INTERNAL},
        "ListTemplates": {GATEWAY, INTERNAL},
        "ListFields": {GATEWAY, INTERNAL},
        "GetJobUsage": {GATEWAY, INTERNAL},
        "GetJobFile": {GATEWAY, DELIVERY, INTERNAL},
        "ListLostRows": {INTERNAL},
        "BatchGetJobFiles": {GATEWAY, DELIVERY},
        "NoteDeliveries": {DELIVERY},
        "ListEndedJobs": {DELIVERY, INTERNAL},
    },
    "ProfileService": {
        "CreateProfile": {GATEWAY, INTERNAL},
        "GetProfile": {GATEWAY, SCHEDULER, INTERNAL},
        "ListProfiles": {GATEWAY, INTERNAL},
        "UpdateProfile": {GATEWAY, INTERNAL},
        "DeleteProfile": {GATEWAY, INTERNAL},
        "ListProfileVersions": {GATEWAY, INTERNAL},
        "GetProfileVersion": {GATEWAY, INTERNAL},
        "ProposeProfile": {GATEWAY, INTERNAL},
        "GetProfileUsage": {GATEWAY, INTERNAL},
    },
    "DeliveryService": {
        "CreatePlatform": {GATEWAY, INTERNAL},
        "GetPlatform": {GATEWAY, SCHEDULER, INTERNAL},
        "BatchGetPlatforms": {GATEWAY, INTERNAL},
        "ListPlatforms": {GATEWAY, INTERNAL},
        "UpdatePlatform": {GATEWAY, INTERNAL},
        "DeletePlatform": {GATEWAY, INTERNAL},
        "TestPlatform": {GATEWAY, INTERNAL},
        "ListPlatformTypes": {GATEWAY, INTERNAL},
        "GetPlatformUsage": {GATEWAY, INTERNAL},
        "ListDeliveries": {GATEWAY, SCHEDULER, INTERNAL},
        "GetDelivery": {INTERNAL},
        "RetryDelivery": {INTERNAL},
        "DeliverJob": {GATEWAY, INTERNAL},
    },
    "WebhookService": {
        "CreateWebhook": {GATEWAY, INTERNAL},
        "GetWebhook": {GATEWAY, INTERNAL},
        "ListWebhooks": {GATEWAY, INTERNAL},
        "UpdateWebhook": {GATEWAY, INTERNAL},
        "DeleteWebhook": {GATEWAY, INTERNAL},
        "RotateWebhookSecret": {GATEWAY, INTERNAL},
        "TestWebhook": {GATEWAY, INTERNAL},
        "ListWebhookMessages": {GATEWAY, INTERNAL},
        "ReplayEvents": {GATEWAY, INTERNAL},
        "GetWebhookUsage": {GATEWAY, INTERNAL},
        "ListEvents": {GATEWAY, INTERNAL},
        "RecordMissedRuns": {SCHEDULER},
    },
    "SchedulerService": {
        "CreateSchedule": {GATEWAY, INTERNAL},
        "GetSchedule": {GATEWAY, INTERNAL},
        "ListSchedules": {GATEWAY, INTERNAL},
        "UpdateSchedule": {GATEWAY, INTERNAL},
        "DeleteSchedule": {GATEWAY, INTERNAL},
        "RunSchedule": {GATEWAY, INTERNAL},
        "ListRuns": {GATEWAY, INTERNAL},
        "GetRun": {GATEWAY, INTERNAL},
        "ListUpcomingTimes": {GATEWAY, INTERNAL},
        "PreviewSchedule": {GATEWAY, INTERNAL},
        "GetBaseline": {GATEWAY, INTERNAL},
        "ResetBaseline": {GATEWAY, INTERNAL},
        "GetScheduleUsage": {GATEWAY, INTERNAL},
    },
}
# Their names contain the tenant.
_OPERATIONS = ("ListOperations", "GetOperation", "DeleteOperation", "CancelOperation", "WaitOperation")
# Methods without a tenant that show no tenant's data. Any other method without a tenant reads all tenants.
_NO_TENANTS_DATA = frozenset({"ListFormats", "ListTemplates", "ListPlatformTypes", "PreviewSchedule"})

RULES = Rules(
    methods={
        f"/catalog.exports.v1.{service}/{method}": frozenset(callers)
        for service, methods in _METHODS.items()
        for method, callers in methods.items()
    }
    | {f"/google.longrunning.Operations/{method}": frozenset({INTERNAL}) for method in _OPERATIONS},
    no_tenants_data=_NO_TENANTS_DATA,
    others=INTERNAL,
)
