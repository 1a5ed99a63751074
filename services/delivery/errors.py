"""Errors of the delivery service, each with a stable code."""

from services.chassis.faults import AttemptError, Fault, Kind


class DeliveryError(Fault):
    """Base of the errors that callers receive."""


class PlatformNotFound(DeliveryError):
    kind = Kind.NOT_FOUND

    def __init__(self, platform_id: str) -> None:
        super().__init__("platform_not_found", f"There is no platform {platform_id}.")


class DeliveryNotFound(DeliveryError):
    kind = Kind.NOT_FOUND

    def __init__(self, delivery_id: str) -> None:
        super().__init__("delivery_not_found", f"There is no delivery {delivery_id}.")


class JobNotFound(DeliveryError):
    kind = Kind.NOT_FOUND

    def __init__(self, job_id: str) -> None:
        super().__init__("job_not_found", f"There is no job {job_id}.")


class TooManyPlatforms(DeliveryError):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int) -> None:
        super().__init__("too_many_platforms", f"The limit of {limit} platforms is reached; delete some.")


class WebhookNotFound(DeliveryError):
    kind = Kind.NOT_FOUND

    def __init__(self, webhook_id: str) -> None:
        super().__init__("webhook_not_found", f"There is no webhook {webhook_id}.")


class EventNotFound(DeliveryError):
    kind = Kind.NOT_FOUND

    def __init__(self, event_id: str) -> None:
        super().__init__("event_not_found", f"There is no event {event_id[:100]}; events are kept for a limited time.")


class TooManyWebhooks(DeliveryError):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int) -> None:
        super().__init__("too_many_webhooks", f"The limit of {limit} webhooks is reached; delete some.")


class TooManyTests(DeliveryError):
    kind = Kind.EXHAUSTED

    def __init__(self, limit: int) -> None:
        message = f"{limit} tests of your platforms and webhooks are running; wait until one of them has ended."
        super().__init__("too_many_tests", message, retry_after=5.0)


class WrongState(DeliveryError):
    kind = Kind.CONFLICT


class IdReused(DeliveryError):
    kind = Kind.MISMATCH

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource}_id_reused", f"This {resource}_id was used for another {resource}.")


class SourceError(AttemptError):
    """The file to deliver cannot be read."""
