"""What is asked without a key: alive, ready, metrics, the OpenAPI document, and pages that show it without internet."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from pathlib import Path

from aiohttp import web

from services.chassis.telemetry import metrics
from services.gateway.answers.json import Readiness
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.openapi import document
from services.gateway.http.route import PREFIX, Route

REMEMBERED_SECONDS = 30.0

_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Catalog Exports</title>
<link rel="stylesheet" href="/docs/static/swagger-ui.css"><link rel="icon" href="/docs/static/favicon-32x32.png">
</head><body><div id="swagger-ui" data-url="{PREFIX}/openapi.json"></div>
<script src="/docs/static/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""
_START = """const place = document.getElementById("swagger-ui");
SwaggerUIBundle({url: place.dataset.url, domNode: place, deepLinking: true, validatorUrl: null});
"""
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class SystemRoutes:
    """`/healthz`, `/readyz`, `/metrics`, `/api/v1/openapi.json`, `/docs`.

    Args:
        checks: what has to answer for the gateway to be ready, by name.
        routes: what the OpenAPI document is about.
    """

    def __init__(
        self, exporter: ExporterClient, checks: dict[str, Callable[[], Awaitable[bool]]], routes: Sequence[Route]
    ) -> None:
        self._exporter = exporter
        self._checks = checks
        self._routes = routes
        self._document = ""
        self._made = 0.0
        self._leaving = False

    def leave(self) -> None:
        """Be ready no more, so that balancers take the gateway out before it stops listening."""
        self._leaving = True

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_get("/healthz", self.alive)
        app.router.add_get("/readyz", self.ready)
        app.router.add_get("/metrics", self.measured)
        app.router.add_get(f"{PREFIX}/openapi.json", self.openapi)
        app.router.add_get("/docs", self.docs)
        app.router.add_get("/docs/start.js", self.start)
        app.router.add_static("/docs/static", Path(str(resources.files("swagger_ui") / "static")))

    async def alive(self, _: web.Request) -> web.Response:
        """The event loop turns."""
        return web.json_response({"status": "alive"})

    async def ready(self, _: web.Request) -> web.Response:
        """The services behind answer, and the gateway is there to stay."""
        found = await asyncio.gather(*(check() for check in self._checks.values()))
        checks = dict(zip(self._checks, found, strict=True))
        ready = all(found) and not self._leaving
        answer = Readiness(status="ready" if ready else "not_ready", checks=checks)
        return web.json_response(text=answer.text(), status=200 if ready else 503)

    async def measured(self, _: web.Request) -> web.Response:
        """Prometheus' text format."""
        return metrics.exposition()

    async def openapi(self, _: web.Request) -> web.Response:
        """The document, made from the exporter's formats as they are now."""
        if not self._document or time.monotonic() - self._made > REMEMBERED_SECONDS:
            self._document = document(self._routes, await self._exporter.formats())
            self._made = time.monotonic()
        return web.json_response(text=self._document)

    async def docs(self, _: web.Request) -> web.Response:
        """Swagger UI, from its package."""
        return web.Response(text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def start(self, _: web.Request) -> web.Response:
        """The page's own script."""
        return web.Response(text=_START, content_type="text/javascript")
