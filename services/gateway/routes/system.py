"""Routes that need no key: health, the OpenAPI document, and pages that show it without internet access."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.faults import Fault, Unavailable
from services.chassis.rpc.client import Caller
from services.gateway.answers.models import Readiness
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.openapi import About, Kind, Kinds, document
from services.gateway.http.route import PREFIX, Route, respond

DOCUMENT_SECONDS = 30.0
"""How often it is checked whether the OpenAPI document is still right."""
HEALTH_TIMEOUT = 2.0

# Narrow screens: what is wide scrolls by itself, and names and descriptions of operations wrap.
_STYLE = (
    "body{margin:0}@media(max-width:640px){.swagger-ui .wrapper{padding:0 8px}"
    ".swagger-ui .opblock-body{overflow-x:auto}.swagger-ui .opblock-summary{flex-wrap:wrap}"
    ".swagger-ui .opblock-summary-path{max-width:100%}}"
)
_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Catalog Exports</title><link rel="icon" href="/docs/static/favicon-32x32.png">
<link rel="stylesheet" href="/docs/static/swagger-ui.css"><link rel="stylesheet" href="/docs/style.css">
</head><body><div id="swagger-ui" data-url="{PREFIX}/openapi.json"></div>
<script src="/docs/static/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""
_START = """const element = document.getElementById("swagger-ui");
SwaggerUIBundle({
  url: element.dataset.url,
  domNode: element,
  deepLinking: true,
  persistAuthorization: true,
  validatorUrl: null,
});
"""
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class SystemRoutes:
    """`/healthz`, `/readyz`, `/api/v1/openapi.json`, `/docs`.

    Args:
        checks: what must succeed for the gateway to be ready, by name.
        routes: what the OpenAPI document describes.
        about: what it says of this deployment.
    """

    def __init__(
        self,
        exporter: ExporterClient,
        delivery: DeliveryClient | None,
        checks: Mapping[str, Callable[[], Awaitable[bool]]],
        routes: Sequence[Route],
        about: About,
    ) -> None:
        self._exporter = exporter
        self._delivery = delivery
        self._about = about
        self._checks = checks
        self._routes = routes
        self._document = ""
        self._kinds: Kinds | None = None
        self._checked = 0.0
        self._stopping = False

    def begin_shutdown(self) -> None:
        """Report not ready, so that load balancers take the gateway out before it stops listening."""
        self._stopping = True

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_get("/healthz", self.alive)
        app.router.add_get("/readyz", self.ready)
        app.router.add_get(f"{PREFIX}/openapi.json", self.openapi)
        app.router.add_get("/", self.root)
        app.router.add_get("/docs", self.docs)
        app.router.add_get("/docs/start.js", self.start)
        app.router.add_get("/docs/style.css", self.style)
        app.router.add_static("/docs/static", Path(str(resources.files("swagger_ui") / "static")))

    async def alive(self, _: web.Request) -> web.Response:
        """The event loop runs."""
        return web.json_response(text='{"status":"alive"}\n')

    async def ready(self, _: web.Request) -> web.Response:
        """Whether the services behind the gateway answer and it is not shutting down."""
        found = await asyncio.gather(*(check() for check in self._checks.values()))
        checks = dict(zip(self._checks, found, strict=True))
        ready = all(found) and not self._stopping
        answer = Readiness(status="ready" if ready else "not_ready", checks=checks)
        return respond(answer, 200 if ready else 503)

    async def openapi(self, _: web.Request) -> web.Response:
        """The document, with the current formats and types of platforms.

        Raises:
            Unavailable: a service does not answer, and there is no earlier document.
        """
        if not self._document or time.monotonic() - self._checked > DOCUMENT_SECONDS:
            try:
                kinds = await self._current_kinds()
            except Unavailable:
                if not self._document:
                    raise
            else:
                if kinds != self._kinds:  # it takes 0.1 s of CPU time
                    self._document = await asyncio.to_thread(document, self._routes, kinds, self._about)
                    self._kinds = kinds
            self._checked = time.monotonic()
        return web.json_response(text=f"{self._document}\n")

    async def _current_kinds(self) -> Kinds:
        formats = [
            Kind(one.name, json.loads(one.options_schema_json), tuple(one.media_types))
            for one in await self._exporter.formats()
        ]
        types = await self._delivery.platform_types() if self._delivery is not None else []
        return Kinds(formats, [Kind(one.name, json.loads(one.config_schema_json)) for one in types])

    async def root(self, _: web.Request) -> web.Response:
        """Leads people to the reference."""
        return web.Response(status=302, headers={"Location": "/docs"})

    async def docs(self, _: web.Request) -> web.Response:
        """Swagger UI, served from its Python package."""
        return web.Response(text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def start(self, _: web.Request) -> web.Response:
        """The script that starts Swagger UI."""
        return web.Response(text=_START, content_type="text/javascript")

    async def style(self, _: web.Request) -> web.Response:
        """What Swagger UI's style lacks for phones."""
        return web.Response(text=_STYLE, content_type="text/css")


async def is_serving(channel: grpc.aio.Channel) -> bool:
    """Whether a replica of the service reports SERVING within two seconds."""
    caller = Caller("peer", deadline=HEALTH_TIMEOUT)
    try:
        answer = await caller.call(health_pb2_grpc.HealthStub(channel).Check, health_pb2.HealthCheckRequest())
    except Fault:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
