"""Prometheus metrics of the process, served on their own port together with a liveness endpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


def initialize_labels(counter: Counter, *values: str) -> None:
    """Start a series at 0 for each value of the counter's label: a series that starts at 1 shows no increase."""
    for value in values:
        counter.labels(value)


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


@asynccontextmanager
async def serving(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> AsyncIterator[int]:
    """Serve /metrics and /healthz; yields the bound port."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", _healthz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
