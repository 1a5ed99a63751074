"""Records the gRPC calls that change something: before the change, and again with its result."""

import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any

from google.protobuf.message import Message

from services.chassis.audit.entry import Action, Entry, Origin, resources_of, result_of
from services.chassis.audit.log import AuditLog
from services.chassis.faults import Fault
from services.chassis.rpc import callers, origin
from services.chassis.telemetry import request_context

GATEWAY = "gateway"
KEY = "idempotency_key"
MAX_JSON = 64 * 1024
"""Characters of a JSON text whose members are named."""
_JSON = "_json"
_MEMBER = re.compile(r"[a-z][a-z0-9_]{0,39}")

IdOf = Callable[[Any], tuple[str, str]]
"""From a request with an idempotency key to type and id of what it creates."""


class CallRecorder:
    """Records calls; the part of a server's interceptor that knows the audit log.

    Args:
        actions: what the methods do that change something, by their names without the service.
        ids: what the methods with an idempotency key create.
    """

    def __init__(self, log: AuditLog, actions: Mapping[str, Action], ids: Mapping[str, IdOf]) -> None:
        self._log = log
        self._actions = actions
        self._ids = ids

    async def call(
        self,
        method: str,
        metadata: Mapping[str, str],
        request: Message | None,
        check: Callable[[Message | None], Message],
        handle: Callable[[Message], Awaitable[Any]],
    ) -> Any:
        """The answer of `handle` to the request that `check` returns; raises what they raise.

        Args:
            method: `/package.Service/Method`.
            request: None for malformed bytes.

        Raises:
            Unavailable: the change was not made, because it could not be recorded.
        """
        name = method.rpartition("/")[2]
        action = self._actions.get(name)
        if action is None or not isinstance(request, Message):
            return await handle(check(request))
        try:
            checked = check(request)
        except Fault as fault:
            self._note_refused(self._entry(name, action, metadata, request), fault)
            raise
        _choose_id(action, checked)
        entry = self._entry(name, action, metadata, checked)
        await self._begin(entry)
        with self._log.concluding(entry, lambda: _fields(checked, members=True)):
            return await handle(checked)

    def _note_refused(self, entry: Entry, fault: Fault) -> None:
        """Record a call that was refused before it began, if caller and tenant are known."""
        if entry.tenant and entry.origin.caller != callers.UNKNOWN:
            self._log.note(entry.ended(*result_of(fault), self._log.now()), is_end=False)

    async def _begin(self, entry: Entry) -> None:
        try:
            await self._log.record(entry)
        except Fault as fault:
            self._log.note(entry.ended(*result_of(fault), self._log.now()), is_end=False)
            raise

    def _entry(self, name: str, action: Action, metadata: Mapping[str, str], request: Any) -> Entry:
        ids = [(field.removesuffix("_id"), str(getattr(request, field))) for field in action.ids]
        if name in self._ids and request.idempotency_key:
            ids.insert(0 if action.creates else len(ids), self._ids[name](request))
        return Entry(
            id=str(uuid.uuid4()),
            at=self._log.now(),
            tenant=request.tenant,
            action=action.name,
            origin=_origin(metadata),
            resources=resources_of(ids),
            fields=_fields(request),
        )


def _choose_id(action: Action, request: Any) -> None:
    """Choose the id of a new resource here, where the service would do it, so that it is recorded before the change."""
    if action.creates and not getattr(request, action.ids[0]) and not getattr(request, KEY, ""):
        setattr(request, action.ids[0], str(uuid.uuid4()))


def _origin(metadata: Mapping[str, str]) -> Origin:
    """Without TLS, the name that a caller gives itself is taken as it is."""
    caller = request_context.caller()
    if caller == callers.UNAUTHENTICATED:
        caller = origin.claimed_caller(metadata) or caller
    if caller != GATEWAY:
        return Origin(caller, request_context.current())
    key_id, address = metadata.get(origin.KEY_HEADER, ""), metadata.get(origin.ADDRESS_HEADER, "")
    return Origin(caller, request_context.current(), key_id, address if _is_address(address) else "")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _fields(request: Message, *, members: bool = False) -> tuple[str, ...]:
    """The names of the fields that a request has, without tenant and ids.

    Args:
        members: also the names of the members of JSON texts, as `config.host`. Only for requests that were accepted:
            in others, a name may be anything.
    """
    found: list[str] = []
    for field, value in request.ListFields():
        if field.name in ("tenant", KEY) or field.name.endswith("_id"):
            continue
        name = field.name.removesuffix(_JSON)
        inner = _members(value) if members and field.name.endswith(_JSON) else []
        found += [f"{name}.{member}" for member in inner] or [name]
    return tuple(found)


def _members(text: str) -> list[str]:
    try:
        found = json.loads(text) if len(text) <= MAX_JSON else None
    except (ValueError, RecursionError):
        return []
    return [name for name in found if _MEMBER.fullmatch(name)] if isinstance(found, dict) else []
