"""`catalog-exports webhooks`: endpoints that are told what has happened."""

from collections.abc import Sequence
from typing import Annotated

import typer

from catalog_exports.cli.exit_codes import ExitCode
from catalog_exports.cli.filters import words
from catalog_exports.cli.screen import instant
from catalog_exports.cli.session import AsJson, Limit, session
from catalog_exports.client.models import Webhook, WebhookAttempt

app = typer.Typer(
    no_args_is_help=True,
    help="Endpoints that are told what has happened: list, show, add, test, sent, replay, rotate, pause, resume, "
    "delete.",
)
WebhookId = Annotated[str, typer.Argument(help="Id of the webhook.", metavar="ID")]


@app.command("list")
def show_all(ctx: typer.Context, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List webhooks, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        found = list(client.webhooks.list(limit=limit))
    rows = [(one.id, instant(one.created_at), _state(one), ",".join(one.events), one.url) for one in found]
    run.screen.table(found, ("id", "created", "state", "events", "url"), rows)


@app.command()
def show(ctx: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Show one webhook; its secret is not shown."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        one = client.webhooks.get(webhook_id)
    failing = instant(one.failing_since) if one.failing_since else None
    known = [("id", one.id), ("url", one.url), ("events", ", ".join(one.events)), ("state", _state(one))]
    run.screen.fields(one, [*known, ("failing since", failing)])


@app.command()
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Of the endpoint, https.")],
    events: Annotated[list[str], typer.Option(help="export.completed, export.failed, delivery.failed, ...")],
    inactive: Annotated[bool, typer.Option("--inactive", help="Send nothing yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a webhook, and show its secret, which cannot be shown again."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        made = client.webhooks.create(url, words(events), is_active=not inactive)
    run.screen.result(made, f"{made.id}\n{made.secret}")


@app.command()
def test(ctx: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Send a test request, and show how it ended."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        sent = client.webhooks.test(webhook_id)
    answer = f"ok, {sent.status_code}" if sent.ok else f"failed: {sent.error}"
    run.screen.result(sent, f"{answer} after {sent.seconds:.3f} s")
    if not sent.ok:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def rotate(ctx: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Show a new secret; for a day, requests are signed with the old one too."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        changed = client.webhooks.rotate_secret(webhook_id)
    run.screen.result(changed, changed.secret)


@app.command()
def sent(ctx: typer.Context, webhook_id: WebhookId, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List what was sent to a webhook, newest first."""
    run = session(ctx, as_json=as_json)
    with run.client() as client:
        found = list(client.webhooks.deliveries(webhook_id, limit=limit))
    rows = [
        (one.event_id, instant(one.created_at), one.type, one.status, len(one.attempts), _last_error(one.attempts))
        for one in found
    ]
    run.screen.table(found, ("event", "created", "type", "status", "attempts", "error"), rows)


@app.command()
def replay(
    ctx: typer.Context, webhook_id: WebhookId, event_id: Annotated[str, typer.Argument(help="Id of the event.")]
) -> None:
    """Send an event again."""
    run = session(ctx)
    with run.client() as client:
        count = client.webhooks.replay(webhook_id, event_id=event_id)
    run.screen.note(f"{event_id} is sent again" if count else f"the webhook does not ask for events like {event_id}")


@app.command()
def pause(ctx: typer.Context, webhook_id: WebhookId) -> None:
    """Send nothing to a webhook."""
    _activate(ctx, webhook_id, is_active=False)


@app.command()
def resume(ctx: typer.Context, webhook_id: WebhookId) -> None:
    """Send events to a webhook again."""
    _activate(ctx, webhook_id, is_active=True)


@app.command()
def delete(ctx: typer.Context, webhook_id: WebhookId) -> None:
    """Delete a webhook; what waits for it is not sent."""
    run = session(ctx)
    with run.client() as client:
        client.webhooks.delete(webhook_id)
    run.screen.note(f"{webhook_id} is deleted")


def _activate(ctx: typer.Context, webhook_id: str, *, is_active: bool) -> None:
    run = session(ctx)
    with run.client() as client:
        changed = client.webhooks.update(webhook_id, is_active=is_active)
    run.screen.note(f"{changed.id}: {_state(changed)}")


def _state(webhook: Webhook) -> str:
    if webhook.is_active:
        return "failing" if webhook.failing_since else "active"
    return f"paused ({webhook.pause_reason})" if webhook.pause_reason else "inactive"


def _last_error(attempts: Sequence[WebhookAttempt]) -> str:
    return (attempts[-1].error or "") if attempts else ""
