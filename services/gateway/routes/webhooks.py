"""Webhooks: create, change and test them, see what was sent, send it again; and the events that they report."""

from aiohttp import web

from services.chassis.timestamps import to_timestamp
from services.gateway.answers import webhooks as answers
from services.gateway.clients.webhooks import WebhookClient
from services.gateway.http.bodies import parse_body
from services.gateway.http.etags import IF_MATCH, IF_NONE_MATCH, expected
from services.gateway.http.idempotency import KEY_PARAMETER, REPLAYED, chosen_id, idempotency_key, naming_the_key
from services.gateway.http.ids import id_in_path
from services.gateway.http.pages import LIMIT_PARAMETER, LIST_PARAMETERS, MAX_NUMBER, number_from_zero, requested_page
from services.gateway.http.route import PREFIX, Caller, Parameter, Route, respond
from services.wire import webhooks_pb2 as pb

ALL, ONE = "/webhooks", "/webhooks/{webhook_id}"
AFTER = Parameter(
    "after",
    "`next_after` of the previous page; 0: from the oldest event that is kept.",
    {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER, "default": 0},
)


class WebhookRoutes:
    """`/webhooks` and `/events`."""

    def __init__(self, webhooks: WebhookClient) -> None:
        self._webhooks = webhooks

    @Route(
        "POST",
        ALL,
        "webhooks:write",
        (201, answers.WebhookWithSecret),
        parameters=[KEY_PARAMETER],
        body=answers.NewWebhook,
        action="webhook.create",
        headers=("Location", "Idempotent-Replayed"),
    )
    async def create_webhook(self, request: web.Request, caller: Caller) -> web.Response:
        """Create a webhook."""
        key, body = idempotency_key(request), await parse_body(request, answers.NewWebhook)
        new = pb.CreateWebhookRequest(
            tenant=caller.tenant,
            url=body.url,
            events=body.events,
            is_active=body.is_active,
            webhook_id=chosen_id("webhook", caller.tenant, key),
        )
        with naming_the_key(key):
            made = await self._webhooks.create(new)
        headers = {"Location": f"{PREFIX}{ALL}/{made.webhook.id}", **(REPLAYED if made.is_replay else {})}
        return respond(answers.with_secret(made.webhook, made.secret), 201, headers)

    @Route("GET", ALL, "webhooks:read", (200, answers.WebhookPage), parameters=LIST_PARAMETERS, faults=(422,))
    async def list_webhooks(self, request: web.Request, caller: Caller) -> answers.WebhookPage:
        """List webhooks, newest first."""
        wanted = requested_page(request.query)
        found = await self._webhooks.list(caller.tenant, wanted.limit, wanted.cursor)
        items = [answers.webhook(one) for one in found.webhooks]
        return answers.WebhookPage(items=items, next_cursor=found.next_page_token or None)

    @Route("GET", ONE, "webhooks:read", (200, answers.Webhook), [IF_NONE_MATCH], faults=(404,), has_etag=True)
    async def get_webhook(self, request: web.Request, caller: Caller) -> answers.Webhook:
        """Get a webhook."""
        return answers.webhook(await self._webhooks.get(caller.tenant, id_in_path(request, "webhook")))

    @Route(
        "PATCH",
        ONE,
        "webhooks:write",
        (200, answers.Webhook),
        parameters=[IF_MATCH],
        body=answers.WebhookChange,
        faults=(404, 409, 412),
        action="webhook.update",
    )
    async def update_webhook(self, request: web.Request, caller: Caller) -> answers.Webhook:
        """Change a webhook."""
        webhook_id, body = id_in_path(request, "webhook"), await parse_body(request, answers.WebhookChange)
        change = pb.UpdateWebhookRequest(
            tenant=caller.tenant,
            webhook_id=webhook_id,
            url=body.url,
            is_active=body.is_active,
            expected_updated_at=expected(request),
        )
        if body.events is not None:
            change.events.CopyFrom(pb.EventSelection(types=body.events))
        return answers.webhook(await self._webhooks.update(change))

    @Route(
        "DELETE",
        ONE,
        "webhooks:write",
        (204, None),
        [IF_MATCH],
        faults=(404, 412),
        action="webhook.delete",
    )
    async def delete_webhook(self, request: web.Request, caller: Caller) -> None:
        """Delete a webhook."""
        await self._webhooks.delete(caller.tenant, id_in_path(request, "webhook"), expected(request))

    @Route(
        "POST",
        f"{ONE}/rotate-secret",
        "webhooks:write",
        (200, answers.WebhookWithSecret),
        faults=(404, 409),
        action="webhook.rotate_secret",
    )
    async def rotate_webhook_secret(self, request: web.Request, caller: Caller) -> answers.WebhookWithSecret:
        """Give a webhook a new secret.

        For 24 hours, requests are signed with the previous one too.
        """
        made = await self._webhooks.rotate_secret(caller.tenant, id_in_path(request, "webhook"))
        return answers.with_secret(made.webhook, made.secret)

    @Route("POST", f"{ONE}/test", "webhooks:write", (200, answers.WebhookAttempt), faults=(404,), action="webhook.test")
    async def test_webhook(self, request: web.Request, caller: Caller) -> answers.WebhookAttempt:
        """Send a request of the type `webhook.test`.

        A failed request is the result, not an error.
        """
        return answers.attempt(await self._webhooks.test(caller.tenant, id_in_path(request, "webhook")))

    @Route(
        "GET", f"{ONE}/deliveries", "webhooks:read", (200, answers.WebhookMessagePage), LIST_PARAMETERS, faults=(404,)
    )
    async def list_webhook_deliveries(self, request: web.Request, caller: Caller) -> answers.WebhookMessagePage:
        """List what was sent to a webhook, newest first."""
        webhook_id, wanted = id_in_path(request, "webhook"), requested_page(request.query)
        found = await self._webhooks.messages(caller.tenant, webhook_id, wanted.limit, wanted.cursor)
        items = [answers.message(one) for one in found.messages]
        return answers.WebhookMessagePage(items=items, next_cursor=found.next_page_token or None)

    @Route(
        "POST",
        f"{ONE}/replay",
        "webhooks:write",
        (202, answers.Replayed),
        body=answers.Replay,
        faults=(404,),
        action="webhook.replay",
    )
    async def replay_events(self, request: web.Request, caller: Caller) -> answers.Replayed:
        """Send an event, or the events of a time range, again."""
        webhook_id, body = id_in_path(request, "webhook"), await parse_body(request, answers.Replay)
        wanted = pb.ReplayEventsRequest(
            tenant=caller.tenant,
            webhook_id=webhook_id,
            event_id=body.event_id or "",
            since=to_timestamp(body.since),
            until=to_timestamp(body.until),
        )
        return answers.Replayed(events=await self._webhooks.replay(wanted))

    @Route("GET", "/events", "webhooks:read", (200, answers.EventPage), [AFTER, LIMIT_PARAMETER])
    async def list_events(self, request: web.Request, caller: Caller) -> answers.EventPage:
        """List events, in order.

        For clients that cannot receive webhooks: ask again with `next_after`.
        """
        after = number_from_zero(request.query, AFTER.name)
        found = await self._webhooks.events(caller.tenant, after, requested_page(request.query).limit)
        items = [answers.event(one) for one in found.events]
        return answers.EventPage(items=items, next_after=items[-1].sequence if items else after)
