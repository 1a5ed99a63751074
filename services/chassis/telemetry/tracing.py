"""Traces: what one request sets off, from span to span through processes, messages and documents (OpenTelemetry).

Without a provider (see `tracing_export`) a span here costs a microsecond and does nothing. A trace travels as W3C
`traceparent`: in the headers of REST, gRPC and JetStream, and as text in MongoDB, since messages may be lost.
Baggage is not carried.
"""

import asyncio
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    ProxyTracerProvider,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
HEADERS = (HEADER, "tracestate")
"""The headers that carry a trace."""

ROOT = Context()
"""The parent of a span that starts a new trace."""

SCOPE = "catalog-exports"
"""The instrumentation scope of all spans."""

Attribute = str | int | float | bool

_W3C = TraceContextTextMapPropagator()


@cache
def _tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer(SCOPE)


def is_on() -> bool:
    """Whether this process creates spans."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
    attributes: Mapping[str, Attribute] | None = None,
    raises_are_errors: bool = True,
) -> Iterator[Span]:
    """A span around the block, current within it.

    Args:
        name: one of few values; details are attributes.
        parent: the parent span; None: the current one.
        attributes: names by the semantic conventions where they have one; never a secret.
        raises_are_errors: an exception that leaves the block marks the span as failed, with its code or type. Its
            text is left out, since it may contain anything.
    """
    if not is_on():
        yield INVALID_SPAN
        return
    with _tracer(trace.get_tracer_provider()).start_as_current_span(
        name,
        context=parent,
        kind=kind,
        attributes=dict(attributes or {}),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except (Exception, asyncio.CancelledError) as exc:
            if raises_are_errors:
                failed(code_of(exc))
            raise


def begin(name: str) -> Span:
    """A child of the current span that does not become the current one; the caller ends it."""
    return _tracer(trace.get_tracer_provider()).start_span(name) if is_on() else INVALID_SPAN


def note(attributes: Mapping[str, Attribute]) -> None:
    """Add attributes to the current span, if there is one."""
    trace.get_current_span().set_attributes(dict(attributes))


def failed(code: str, span: Span | None = None) -> None:
    """Mark a span, or the current one, as failed.

    Args:
        code: one of few values, for programs.
    """
    marked = span or trace.get_current_span()
    marked.set_attribute("error.type", code)
    marked.set_status(Status(StatusCode.ERROR, code))


def code_of(exc: BaseException) -> str:
    """The code of an error that has one, or its type."""
    code = getattr(exc, "code", None)
    return code if isinstance(code, str) else type(exc).__name__


def headers() -> dict[str, str]:
    """The headers that carry the current trace to another process; none outside of a trace."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier


def traceparent() -> str:
    """The current trace as text, to be stored; empty outside of a trace."""
    return headers().get(HEADER, "")


def from_headers(given: Mapping[str, str]) -> Context:
    """The trace in headers (lower-case names); a new one if there is none, or it is invalid."""
    carrier = {name: given[name] for name in HEADERS if name in given}
    return _W3C.extract(carrier, context=ROOT) if carrier else ROOT


def from_text(stored: str) -> Context:
    """The trace of a stored `traceparent`; a new one when it is empty."""
    return from_headers({HEADER: stored} if stored else {})


@contextmanager
def continued(stored: str) -> Iterator[None]:
    """Continue the trace of a stored `traceparent` within the block; none if it is empty."""
    token = context.attach(from_text(stored))
    try:
        yield
    finally:
        context.detach(token)


def add_ids(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that adds the ids of the current trace and span."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        event["trace_id"] = trace.format_trace_id(current.trace_id)
        event["span_id"] = trace.format_span_id(current.span_id)
    return event
