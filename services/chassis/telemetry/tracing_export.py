"""Sends a process's spans where the usual OTEL variables say; without them nothing of the SDK is even loaded.

The SDK itself reads what is said of samplers, limits, batches, resource, endpoint, headers and certificates.
"""

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from opentelemetry import trace

from services.chassis.settings import ProcessSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger()

GOODBYE_SECONDS = 3.0
"""What the last spans have to be sent when the process ends; a collector that is away must not hold it up."""

_OTLP = "opentelemetry.exporter.otlp.proto.{}.trace_exporter"
# Python's SDK takes gRPC unless told otherwise.
_MODULES = {"grpc": _OTLP.format("grpc"), "http/protobuf": _OTLP.format("http")}


@contextmanager
def exporting(service: str, settings: ProcessSettings) -> Iterator[None]:
    """While it lasts, spans are sent, if the settings ask for it; to be entered once in a process."""
    if not settings.traces_wanted:
        yield
        return
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    told = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": service, "service.namespace": "catalog-exports", **told})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(settings)))
    trace.set_tracer_provider(provider)
    log.info("tracing", action="start", exporter=settings.otel_traces_exporter or "otlp")
    try:
        yield
    finally:
        ending = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(GOODBYE_SECONDS)


def _exporter(settings: ProcessSettings) -> "SpanExporter":
    if settings.otel_traces_exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    protocol = settings.otel_exporter_otlp_traces_protocol or settings.otel_exporter_otlp_protocol
    exporter: SpanExporter = importlib.import_module(_MODULES[protocol]).OTLPSpanExporter()
    return exporter
