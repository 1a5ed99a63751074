"""Who calls, by the name in the client certificate, and whether this caller may make this call.

Without TLS, callers cannot be identified: every call is allowed, and its caller is `UNAUTHENTICATED`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf.message import Message
from prometheus_client import Counter

from services.chassis.faults import Fault, Kind
from services.chassis.settings import Tenants

log = structlog.get_logger()

UNAUTHENTICATED = "unauthenticated"
"""The caller of every call while TLS is off."""
UNKNOWN = "unknown"
"""A certificate without a name in the table, or with the names of several callers."""
NAMES = ("x509_subject_alternative_name", "x509_common_name")
"""Where grpcio keeps the names in the client's certificate."""

REFUSED = Counter(
    "rpc_calls_refused_total",
    "gRPC calls refused with PERMISSION_DENIED, by caller, method and reason: caller, method or tenant.",
    ["caller", "method", "reason"],
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The table of callers.

    Args:
        methods: the callers of each method, by `/package.Service/Method`.
        no_tenants_data: names of methods without a tenant that a caller with few tenants may call nevertheless.
        others: what the callers are in `methods` that only a setting names.
    """

    methods: Mapping[str, frozenset[str]]
    no_tenants_data: frozenset[str]
    others: str


class Callers:
    """Decides about calls.

    Args:
        tenants: the tenants of callers that have not all of them, and the names of `others`.
    """

    def __init__(self, rules: Rules, tenants: Mapping[str, Tenants]) -> None:
        self._rules = rules
        self._tenants = tenants
        services = frozenset().union(*rules.methods.values()) - {rules.others}
        self._names = services | tenants.keys()
        self._others = tenants.keys() - services

    def identify(self, context: Any) -> str:
        """The caller, or `UNKNOWN`; from the `grpc.aio.ServicerContext` of a call over TLS."""
        shown = context.auth_context()
        names: set[str] = {name.decode(errors="replace") for part in NAMES for name in shown.get(part, ())}
        known = names & self._names
        if len(known) != 1:
            log.warning("caller_unknown", action="rpc", names=sorted(names)[:10])
            return UNKNOWN
        return known.pop()

    def check(self, caller: str, method: str, request: Message | None) -> None:
        """Refuse a call that the caller may not make; `request` is None for malformed bytes.

        Raises:
            Fault: DENIED.
        """
        if caller == UNKNOWN:
            self._refuse(caller, method, "caller", "No name in your certificate is that of a caller known here.")
        role = self._rules.others if caller in self._others else caller
        if role not in self._rules.methods.get(method, ()):
            self._refuse(caller, method, "method", f"The caller {caller} may not call this method.")
        allowed = self._tenants.get(caller)
        if allowed is None or _name(method) in self._rules.no_tenants_data:
            return
        if getattr(request, "tenant", None) not in allowed:
            self._refuse(caller, method, "tenant", f"The caller {caller} may not act for this tenant.")

    def _refuse(self, caller: str, method: str, reason: str, message: str) -> None:
        REFUSED.labels(caller, _name(method), reason).inc()
        log.warning("call_refused", action=method, reason=reason)
        raise Fault("caller_not_allowed", message, kind=Kind.DENIED)


def _name(method: str) -> str:
    """The method's name without the service."""
    return method.rpartition("/")[2]
