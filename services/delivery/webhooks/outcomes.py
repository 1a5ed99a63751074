"""How requests to webhooks are counted."""

from prometheus_client import Counter, Gauge

from services.chassis.telemetry.metrics import initialize_labels
from services.delivery.webhooks.webhook import PauseReason

REQUESTS = Counter("delivery_webhook_requests_total", "Requests to webhooks, by outcome.", ["outcome"])
PAUSED = Counter("delivery_webhooks_paused_total", "Webhooks that the service has paused, by reason.", ["reason"])
OLDEST_DUE = Gauge(
    "delivery_webhooks_oldest_due_seconds", "How long the most overdue message to a webhook has been due."
)

initialize_labels(REQUESTS, "delivered", "retried", "failed")
initialize_labels(PAUSED, *(reason.value for reason in PauseReason))
