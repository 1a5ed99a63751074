"""The entries of the audit log, as REST shows them."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from services.audited import RESOURCES
from services.chassis.audit import entry as audit
from services.gateway.answers.described import Code, Id
from services.gateway.answers.models import Answer, Instant, Page


class Resource(Answer):
    """What an operation concerns."""

    type: Annotated[str, WithJsonSchema({"type": "string", "enum": list(RESOURCES)})]
    id: str


class AuditEntry(Answer):
    """An operation and its result."""

    id: Id
    at: Instant = Field(description="When it began.")
    ended_at: Instant | None = None
    action: str = Field(description="`<resource>.<verb>`, such as `job.create`.")
    resources: list[Resource] = Field(description="What is changed, then what else the request names.")
    fields: list[str] = Field(description="Names of the fields of the request; never their values.")
    caller: str = Field(description="Who called the service: gateway, scheduler, operator, or another gRPC client.")
    key_id: str | None = Field(default=None, description="API key of a REST request.")
    address: str | None = Field(default=None, description="Client of a REST request; user and host of an operator.")
    request_id: str = Field(description="As in X-Request-Id and in the logs.")
    result: Literal["ok", "refused", "failed", "unknown"]
    code: Code | None = Field(default=None, description="Why it was refused or failed.")


class AuditPage(Page[AuditEntry]):
    """Operations, newest first."""


def shown(entry: audit.Entry) -> AuditEntry:
    """An entry as an answer."""
    return AuditEntry(
        id=entry.id,
        at=entry.at,
        ended_at=entry.ended_at,
        action=entry.action,
        resources=[Resource.model_validate({"type": one.type, "id": one.id}) for one in entry.resources],
        fields=list(entry.fields),
        caller=entry.origin.caller,
        key_id=entry.origin.key_id or None,
        address=entry.origin.address or None,
        request_id=entry.origin.request_id,
        result=(entry.result or audit.Result.UNKNOWN).value,
        code=entry.code or None,
    )
