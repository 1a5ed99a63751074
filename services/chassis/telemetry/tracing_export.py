"""Exports a process's spans as the standard OTEL variables say; without them the SDK is not loaded.

The SDK itself reads the variables for samplers, limits, batches, resource, endpoint, headers and certificates.
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

SHUTDOWN_TIMEOUT = 3.0
"""Seconds for sending the last spans when the process ends, whether the collector answers or not."""

_OTLP = "opentelemetry.exporter.otlp.proto.{}.trace_exporter"
# gRPC is the default of the Python SDK.
_MODULES = {"grpc": _OTLP.format("grpc"), "http/protobuf": _OTLP.format("http")}


@contextmanager
def exporting(service: str, settings: ProcessSettings) -> Iterator[None]:
    """Export spans while the context is open, if the settings say so; enter it once per process."""
    if not settings.traces_wanted:
        yield
        return
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    detected = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": service, "service.namespace": "catalog-exports", **detected})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(settings)))
    trace.set_tracer_provider(provider)
    log.info("tracing", action="start", exporter=settings.otel_traces_exporter or "otlp")
    try:
        yield
    finally:
        ending = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(SHUTDOWN_TIMEOUT)


def _exporter(settings: ProcessSettings) -> "SpanExporter":
    if settings.otel_traces_exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    protocol = settings.otel_exporter_otlp_traces_protocol or settings.otel_exporter_otlp_protocol
    exporter: SpanExporter = importlib.import_module(_MODULES[protocol]).OTLPSpanExporter()
    return exporter
