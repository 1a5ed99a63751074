"""Records changes that were refused before a service could record them: a missing scope, an invalid body."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from services.chassis.audit.entry import Entry, Origin, resources_of, result_of
from services.chassis.audit.log import AuditLog
from services.chassis.rpc import origin
from services.chassis.telemetry import request_context
from services.gateway.http.route import Route


@contextmanager
def recorded_refusals(audit: AuditLog, route: Route, request: web.Request, tenant: str) -> Iterator[None]:
    """Record what is raised in the block, unless a service has recorded it or the route changes nothing."""
    client, at = origin.client(), audit.now()
    try:
        yield
    except ConnectionError:  # the client left while it sent the body
        raise
    except Exception as exc:
        if route.action and client is not None and not client.is_recorded:
            entry = Entry(
                id=str(uuid.uuid4()),
                at=at,
                tenant=tenant,
                action=route.action,
                origin=Origin("gateway", request_context.current(), client.key_id, client.address),
                resources=resources_of((name.removesuffix("_id"), text) for name, text in request.match_info.items()),
            )
            audit.note(entry.ended(*result_of(exc), audit.now()), is_end=False)
        raise
