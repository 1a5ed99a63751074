"""The requests that a webhook gets, as callbacks of the operation that creates it.

Not as `webhooks` of the document: openapi-generator makes code of them that does not compile.
"""

from typing import Any

from services.gateway.answers.webhooks import NewWebhook, ReportedEvent
from services.gateway.http.openapi.schemas import reference
from services.gateway.http.route import Route

_HEADERS = {
    "webhook-id": "Id of the event; the same for every attempt, so that a repeated one can be ignored.",
    "webhook-timestamp": "When the request was sent, in Unix time. Refuse old ones.",
    "webhook-signature": "Signatures with the webhook's secrets: `v1,<base64>`, separated by spaces.",
}


def callbacks_of(route: Route) -> dict[str, Any]:
    """The callbacks of a route."""
    if route.body is not NewWebhook:
        return {}
    parameters = [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
    ]
    operation = {
        "operationId": "receiveEvent",
        "summary": "An event is reported to a webhook",
        "description": "Check the signature (Standard Webhooks 1.0), answer, and work on the event afterwards. Answers "
        "other than 2xx and 410 are followed by further attempts.",
        "tags": ["Webhooks"],
        "security": [],
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference(ReportedEvent.__name__)}},
        },
        "responses": {
            "204": {"description": "The event was received; so does any 2xx."},
            "410": {"description": "The endpoint is gone: the webhook is paused."},
        },
    }
    return {"event": {"{$request.body#/url}": {"post": operation}}}
