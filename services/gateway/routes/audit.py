"""The audit log of a tenant: who did what, when, from where and with what result."""

from aiohttp import web
from multidict import MultiMapping

from services.audited import ACTIONS, RESOURCES
from services.chassis.audit.entry import Result
from services.chassis.audit.store import AuditStore, EntryFilter
from services.chassis.paging import from_cursor
from services.gateway.answers import audit as answers
from services.gateway.errors import BadQuery
from services.gateway.http.pages import LIST_PARAMETERS, requested_page, time_of
from services.gateway.http.route import Caller, Parameter, Route

TIME = {"type": "string", "format": "date-time"}
MAX_ID = 100
ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID}
PARAMETERS = (
    *LIST_PARAMETERS,
    Parameter("since", "Only at this time or later.", TIME),
    Parameter("until", "Only before this time.", TIME),
    Parameter("action", "Only this action.", {"type": "string", "enum": list(ACTIONS)}),
    Parameter(
        "resource_type", "Only what concerns a resource of this type.", {"type": "string", "enum": list(RESOURCES)}
    ),
    Parameter("resource_id", "Only what concerns the resource with this id.", ID),
    Parameter("key_id", "Only requests with the API key with this id.", ID),
    Parameter("result", "Only this result.", {"type": "string", "enum": [result.value for result in Result]}),
)


class AuditRoutes:
    """`/audit`."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    @Route("GET", "/audit", "audit:read", (200, answers.AuditPage), parameters=PARAMETERS, faults=(422,))
    async def list_audit_entries(self, request: web.Request, caller: Caller) -> answers.AuditPage:
        """List who changed what, newest first."""
        page = requested_page(request.query)
        wanted = _filter(request.query, caller.tenant)
        found = await self._store.find(wanted, before=from_cursor(page.cursor, field="cursor"), limit=page.limit)
        items = [answers.shown(entry) for entry in found.items]
        return answers.AuditPage(items=items, next_cursor=found.next_cursor or None)


def _filter(query: MultiMapping[str], tenant: str) -> EntryFilter:
    """The filter of a request.

    Raises:
        BadQuery: a parameter has an invalid value.
    """
    for parameter in PARAMETERS:
        text, choices = query.get(parameter.name), parameter.schema.get("enum")
        if text is not None and choices and text not in choices:
            raise BadQuery(parameter.name, f"must be one of {', '.join(choices)}")
    result = query.get("result")
    return EntryFilter(
        tenant=tenant,
        since=time_of(query, "since"),
        until=time_of(query, "until"),
        action=query.get("action"),
        resource_type=query.get("resource_type"),
        resource_id=_id(query, "resource_id"),
        key_id=_id(query, "key_id"),
        result=None if result is None else Result(result),
    )


def _id(query: MultiMapping[str], name: str) -> str | None:
    text = query.get(name)
    if text is not None and not 0 < len(text) <= MAX_ID:
        raise BadQuery(name, f"must be an id of at most {MAX_ID} characters")
    return None if text is None else text.lower()
