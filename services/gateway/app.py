"""Builds the gateway: its clients, its routes and its HTTP server."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import grpc
import structlog
from aiohttp import web

from services.chassis import loops, mongo
from services.chassis.audit.log import audit_log
from services.chassis.audit.store import AuditStore
from services.chassis.blobs import open_store
from services.chassis.networks import parse_networks
from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import tls
from services.chassis.telemetry import metrics
from services.gateway.auth.authenticator import Authenticator
from services.gateway.auth.key_cache import KeyCache
from services.gateway.auth.key_store import KeyStore
from services.gateway.auth.links import Signer
from services.gateway.auth.rate import RateLimiter
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.clients.job_changes import RECONNECT_SECONDS, JobChanges
from services.gateway.clients.profiles import ProfileClient
from services.gateway.clients.scheduler import SchedulerClient
from services.gateway.clients.webhooks import WebhookClient
from services.gateway.http.bodies import BODY_TIMEOUT, LARGE_BODY_SLOTS
from services.gateway.http.cors import Cors, parse_origins
from services.gateway.http.middleware import CORS, add_headers, middleware
from services.gateway.http.openapi import About
from services.gateway.http.origin import Origin
from services.gateway.http.route import PREFIX, Route, routes_of
from services.gateway.routes.audit import AuditRoutes
from services.gateway.routes.deliveries import DeliveryRoutes
from services.gateway.routes.discovery import DiscoveryRoutes
from services.gateway.routes.downloads import DownloadRoutes, DownloadSlots
from services.gateway.routes.jobs import JobRoutes
from services.gateway.routes.limits import LimitRoutes
from services.gateway.routes.platforms import PlatformRoutes
from services.gateway.routes.profiles import ProfileRoutes
from services.gateway.routes.schedules import ScheduleRoutes
from services.gateway.routes.system import SystemRoutes, is_serving
from services.gateway.routes.webhooks import WebhookRoutes
from services.gateway.settings import GatewaySettings
from services.limits import Limits

log = structlog.get_logger()

MAX_LARGE_BODIES = 32
"""Bodies of up to 1 MiB that are received at the same time; limits memory while clients send slowly."""

PREPARE_SECONDS = 3_600.0
"""How often the indexes of the audit log and the time that it is kept are checked."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where the gateway listens: for REST, and for metrics."""

    port: int
    metrics_port: int


@asynccontextmanager
async def build(settings: GatewaySettings) -> AsyncIterator[Running]:
    """Run the gateway. On exit: report not ready, stop listening, let requests finish, close connections."""
    async with AsyncExitStack() as stack:
        certificates = await stack.enter_async_context(tls.certificates(settings))

        async def connect(address: str) -> grpc.aio.Channel:
            return await stack.enter_async_context(rpc_client.channel(address, certificates))

        deadline = settings.rpc_deadline
        exporter_channel = await connect(settings.exporter_address)
        profiles = ProfileClient(exporter_channel, deadline)
        exporter, delivery, webhooks, scheduler = ExporterClient(exporter_channel, deadline), None, None, None
        if settings.delivery_address is not None:
            channel = await connect(settings.delivery_address)
            delivery, webhooks = DeliveryClient(channel, deadline), WebhookClient(channel, deadline)
        if settings.scheduler_address is not None:
            scheduler = SchedulerClient(await connect(settings.scheduler_address), deadline)
        client = mongo.connect(settings.mongodb_uri, app="gateway")
        stack.callback(client.close)
        blobs = await open_store(settings.artifacts_url)
        stack.push_async_callback(blobs.close)

        changes = JobChanges(exporter_channel, exporter)
        audit_store = AuditStore(client)
        signer, proxies = _signer(settings), parse_networks(settings.trusted_proxies)
        if settings.public_url is None:
            reason = "Links to files contain the host that a request names. Set PUBLIC_URL to the gateway's own URL."
            log.warning("links_follow_host", action="start", reason=reason)
        slots = DownloadSlots(settings.max_downloads, settings.max_downloads_per_key)
        jobs = JobRoutes(exporter, changes, signer, Origin(settings.public_url, proxies), delivery)
        resources: list[object] = [
            LimitRoutes(exporter, profiles, delivery, webhooks, scheduler),
            DiscoveryRoutes(exporter, delivery),
            jobs,
            ProfileRoutes(profiles, exporter, scheduler, jobs),
            DownloadRoutes(exporter, blobs, slots, settings.stall_seconds),
            AuditRoutes(audit_store),
        ]
        if webhooks is not None:
            resources.append(WebhookRoutes(webhooks))
        if delivery is not None:
            resources += [PlatformRoutes(delivery, scheduler), DeliveryRoutes(exporter, delivery)]
        if scheduler is not None:
            resources.append(ScheduleRoutes(scheduler))
        routes = [route for resource in resources for route in routes_of(resource)]

        checks = {"exporter": partial(is_serving, exporter_channel), "database": partial(mongo.answers, client)}
        about = About(settings.public_url or "", settings.api_contact)
        system = SystemRoutes(exporter, delivery, checks, routes, about)
        keys = KeyCache(KeyStore(client["gateway"]), RateLimiter(settings.attempt_limit))
        limiter = RateLimiter(settings.rate_limit)
        audit = await stack.enter_async_context(audit_log(client))
        # In the background, since the gateway starts without MongoDB.
        prepare = loops.repeat("audit_indexes", PREPARE_SECONDS, partial(audit_store.prepare, settings.audit_days))
        hear = loops.repeat("job_changes", RECONNECT_SECONDS, changes.run)  # returns only after an unexpected error
        await stack.enter_async_context(loops.running(prepare, hear))
        authenticator = Authenticator(keys, limiter, Limits(settings), signer, proxies, audit)
        app = _application(routes, authenticator, system, settings)
        # On a port of their own: clients must not see them.
        serving_metrics = metrics.serving(settings.metrics_host, settings.metrics_port)
        metrics_port = await stack.enter_async_context(serving_metrics)
        port = await stack.enter_async_context(_listening(app, system, changes, settings))
        yield Running(port, metrics_port)


def _signer(settings: GatewaySettings) -> Signer:
    keys = [key.get_secret_value().encode() for key in (settings.signing_key, settings.signing_key_previous) if key]
    return Signer(keys, timedelta(hours=settings.link_hours))


def _application(
    routes: Sequence[Route], authenticator: Authenticator, system: SystemRoutes, settings: GatewaySettings
) -> web.Application:
    app = web.Application(middlewares=[middleware], client_max_size=settings.max_body_bytes)
    app[BODY_TIMEOUT] = settings.body_timeout
    app[CORS] = Cors(parse_origins(settings.cors_origins))
    app[LARGE_BODY_SLOTS] = asyncio.Semaphore(MAX_LARGE_BODIES)
    app.on_response_prepare.append(add_headers)
    system.add_to(app)
    own_head = {route.path for route in routes if route.method == "HEAD"}
    readers = {route.path: route for route in routes if route.has_etag}
    for route in routes:
        changes = route.method in ("PATCH", "DELETE")
        handler = authenticator.guard(route, readers.get(route.path) if changes else None)
        app.router.add_route(route.method, PREFIX + route.path, handler)
        if route.method == "GET" and route.path not in own_head:
            app.router.add_route("HEAD", PREFIX + route.path, handler)  # aiohttp sends no body
    return app


@asynccontextmanager
async def _listening(
    app: web.Application, system: SystemRoutes, changes: JobChanges, settings: GatewaySettings
) -> AsyncIterator[int]:
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=settings.shutdown_grace,
        auto_decompress=False,  # http/bodies.py does it
        # aiohttp also closes a connection that has not sent a request's headers within this time.
        keepalive_timeout=settings.keepalive_timeout,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.gateway_host, settings.gateway_port)
        try:
            await site.start()
        except OSError as exc:
            address = f"{settings.gateway_host}:{settings.gateway_port}"
            raise OSError(f"the gateway cannot listen on {address}: {exc.strerror or exc}") from exc
        port = int(runner.addresses[0][1])
        log.info("listening", action="start", http=f"{settings.gateway_host}:{port}")
        yield port
    finally:
        system.begin_shutdown()
        changes.leave()
        try:
            await asyncio.sleep(settings.shutdown_notice)
        finally:
            await runner.cleanup()
