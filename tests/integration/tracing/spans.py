"""Spans as a test looks at them, and a gateway in front of services in the test's own process."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import SecretStr

from services.chassis import mongo
from services.gateway.app import build
from services.gateway.auth.api_keys import ApiKey, digest, new_secret
from services.gateway.auth.key_store import KeyStore
from services.gateway.settings import GatewaySettings
from tests.integration.delivering import Deliverer
from tests.integration.exporting import Exporter, eventually
from tests.rest import Rest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
"""What a caller that traces by itself sends, with the ids of the specification's example."""


@dataclass(frozen=True)
class Seen:
    """One span that has ended."""

    name: str
    kind: SpanKind
    id: str
    parent: str
    trace: str
    attributes: dict[str, Any]
    failed: bool

    @staticmethod
    def of(span: ReadableSpan) -> Seen:
        assert span.context is not None
        return Seen(
            name=span.name,
            kind=span.kind,
            id=trace.format_span_id(span.context.span_id),
            parent=trace.format_span_id(span.parent.span_id) if span.parent else "",
            trace=trace.format_trace_id(span.context.trace_id),
            attributes=dict(span.attributes or {}),
            failed=span.status.status_code is StatusCode.ERROR,
        )


class Spans:
    """The spans that have ended in this process since the last `clear`."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))

    def clear(self) -> None:
        self._memory.clear()

    def all(self) -> list[Seen]:
        return [Seen.of(span) for span in self._memory.get_finished_spans()]

    def named(self, name: str, trace_id: str = TRACE) -> list[Seen]:
        """Those of a trace with this name, in the order of their end."""
        return [span for span in self.all() if (span.name, span.trace) == (name, trace_id)]

    def one(self, name: str, kind: SpanKind | None = None, trace_id: str = TRACE) -> Seen:
        """The only one with this name (and kind)."""
        found = [span for span in self.named(name, trace_id) if kind in (None, span.kind)]
        assert len(found) == 1, (name, [(span.name, span.kind.name) for span in self.all()])
        return found[0]

    async def until(self, name: str, count: int = 1, trace_id: str = TRACE) -> list[Seen]:
        """So many of this name, once they have ended."""

        async def reached() -> list[Seen] | None:
            found = self.named(name, trace_id)
            return found if len(found) >= count else None

        found: Sequence[Seen] = await eventually(f"{count} of {name} have ended", reached)
        return list(found)

    def below(self, parent: Seen) -> list[str]:
        """The names of its children, in the order of their end."""
        return [span.name for span in self.all() if span.parent == parent.id]


@dataclass(frozen=True)
class Door:
    """A gateway and a key."""

    rest: Rest

    async def call(self, method: str, path: str, body: object = None, traceparent: str = TRACEPARENT) -> Any:
        """The JSON of a good answer to a request in a trace."""
        headers = {"traceparent": traceparent} if traceparent else {}
        answer = await asyncio.to_thread(self.rest.call, method, path, body, headers=headers)
        assert answer.status in (200, 201, 202), answer
        return answer.json


@asynccontextmanager
async def door(
    mongo_uri: str, tenant: str, folder: Path, exporter: Exporter, deliverer: Deliverer
) -> AsyncIterator[Door]:
    """A gateway on a real port in front of these services, with a key of the tenant."""
    settings = GatewaySettings(
        mongodb_uri=mongo_uri,
        artifacts_url=folder.as_uri(),
        exporter_address=f"127.0.0.1:{exporter.running.rpc_port}",
        delivery_address=f"127.0.0.1:{deliverer.running.rpc_port}",
        gateway_port=0,
        metrics_port=0,
        signing_key=SecretStr("a signing key for tests, not a secret"),
    )
    secret = new_secret()
    key = ApiKey(secret.id, tenant, "tests", frozenset("*"), digest(secret.secret), datetime.now(UTC), None)
    client = mongo.connect(mongo_uri, app="tests")
    try:
        await KeyStore(client["gateway"]).add(key)
        async with build(settings) as running:
            yield Door(Rest(f"http://127.0.0.1:{running.port}", str(secret)))
    finally:
        client.close()
