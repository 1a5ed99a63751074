"""Calls for the gateway: faults name the fields of a request as REST does."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

from collections.abc import Mapping
from typing import Any

import grpc

from services.audited import METHODS
from services.chassis.faults import BadRequest, Fault, Violation
from services.chassis.rpc import origin
from services.chassis.rpc.client import Answer, Caller

PAGE_NAMES = {"page_token": "cursor", "page_size": "limit"}
BRIEF_DEADLINE = 2.0
"""Seconds, for calls whose result is only a part of the response and may be missing."""


class RestCaller(Caller):
    """A `Caller` for requests that a REST client made.

    Args:
        names: how REST calls fields that have another name in the service's messages.
    """

    def __init__(self, service: str, *, deadline: float, names: Mapping[str, str] | None = None) -> None:
        super().__init__(service, deadline=deadline, name="gateway")
        self._no_answer = f"{service}_unavailable"
        self._names = {**PAGE_NAMES, **(names or {})}

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Any, Answer], request: object, *, deadline: float | None = None
    ) -> Answer:
        """The response of a unary method.

        Raises:
            Fault: the one that the service returned, with the names of REST, or `Unavailable`.
        """
        try:
            answer = await super().call(method, request, deadline=deadline)
        except Fault as fault:
            if fault.code != self._no_answer:
                _note_recorded(request)
            renamed = tuple(Violation(self._renamed(v.field), v.message) for v in fault.violations)
            if renamed != fault.violations:
                raise BadRequest(renamed, code=fault.code) from fault
            raise
        _note_recorded(request)
        return answer

    def _renamed(self, path: str) -> str:
        field, dot, rest = path.partition(".")
        return f"{self._names.get(field, field)}{dot}{rest}"


def _note_recorded(request: object) -> None:
    """The service has answered a call; if it is one that changes something, the service has recorded it."""
    client = origin.client()
    if client is not None and type(request).__name__.removesuffix("Request") in METHODS:
        client.is_recorded = True
