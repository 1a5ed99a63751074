"""Calls for the gateway: faults name the fields of a request as REST does."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from typing import Any

import grpc

from services.chassis.faults import BadRequest, Fault, Violation
from services.chassis.rpc.client import Answer, Caller

NAMES = {"page_token": "cursor", "page_size": "limit", "options_json": "body"}
BRIEF_DEADLINE = 2.0
"""Seconds, for calls whose result is only a part of the response and may be missing."""


class RestCaller(Caller):
    """A `Caller` for requests that a REST client made."""

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Any, Answer], request: object, *, deadline: float | None = None
    ) -> Answer:
        """The response of a unary method.

        Raises:
            Fault: the one that the service returned, with the names of REST, or `Unavailable`.
        """
        try:
            return await super().call(method, request, deadline=deadline)
        except Fault as fault:
            if any(violation.field in NAMES for violation in fault.violations):
                renamed = [Violation(NAMES.get(v.field, v.field), v.message) for v in fault.violations]
                raise BadRequest(renamed, code=fault.code) from fault
            raise
