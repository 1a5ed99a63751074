"""The parts that every gRPC service consists of: MongoDB, JetStream, certificates, background loops, server, metrics.

A service's `app.py` opens a runtime, builds its own objects from it, and serves. On leaving, everything is closed in
reverse order: no new calls first, connections last.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import grpc
import structlog
from pymongo.errors import PyMongoError

from services.chassis import jetstream, loops, mongo
from services.chassis.audit.calls import CallRecorder, IdOf
from services.chassis.audit.entry import Action
from services.chassis.audit.log import audit_log
from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore
from services.chassis.faults import Unavailable
from services.chassis.jetstream import JetStream
from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import server as rpc_server
from services.chassis.rpc import tls
from services.chassis.rpc.callers import Callers, Rules
from services.chassis.rpc.tls import Certificates
from services.chassis.settings import RpcSettings, parse_callers
from services.chassis.telemetry import metrics

log = structlog.get_logger()

PREPARE_SECONDS = 5.0
"""How long a start waits for MongoDB before the service listens without it. An index may take longer, too."""
PREPARE_PAUSE = 1.0


class Store(Protocol):
    """A part of a service's database."""

    def prepare(self) -> Awaitable[None]:
        """Create indexes and what else has to be there; changes nothing where it is there.

        Raises:
            Unavailable: MongoDB does not answer.
        """


@dataclass(frozen=True, slots=True)
class Running:
    """The ports a service listens on; `health_port` is None when health is served on `rpc_port` only."""

    rpc_port: int
    metrics_port: int
    health_port: int | None


class ServiceRuntime:
    """The parts of one service.

    Args:
        stack: closes what was opened, in reverse order; a service adds its own callbacks here.
    """

    def __init__(
        self,
        settings: RpcSettings,
        stack: AsyncExitStack,
        certificates: Certificates | None,
        client: mongo.Client,
        stream: JetStream,
    ) -> None:
        self.stack = stack
        self.client = client
        self.jetstream = stream
        self._settings = settings
        self._certificates = certificates
        self._is_prepared = True

    async def prepare(self, *stores: Store) -> None:
        """Prepare the stores. If MongoDB does not answer, that is done later, and the service is not ready until then.

        Raises:
            PyMongoError: MongoDB refuses it, for example because of a wrong password.
        """
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await _prepare(stores)
        except (TimeoutError, Unavailable):
            self._is_prepared = False
            await self.run_in_background(self._prepare_later(stores))

    async def _prepare_later(self, stores: Sequence[Store]) -> None:
        while not self._is_prepared:
            log.warning("waiting_for_database", action="start", reason="MongoDB does not answer (MONGODB_URI).")
            try:
                await _prepare(stores)
                self._is_prepared = True
            except Unavailable:
                await asyncio.sleep(PREPARE_PAUSE)
            except PyMongoError:
                log.exception("database_not_prepared", action="start")
                await asyncio.sleep(PREPARE_PAUSE)
        log.info("database_prepared", action="start")

    async def _is_ready(self) -> bool:
        return self._is_prepared and await mongo.answers(self.client)

    async def channel(self, address: str) -> grpc.aio.Channel:
        """A channel to another service."""
        return await self.stack.enter_async_context(rpc_client.channel(address, self._certificates))

    async def blobs(self, url: str) -> BlobStore:
        """The artifact store.

        Raises:
            OSError: the URL is invalid, or the store cannot be used.
        """
        store = await open_store(url)
        self.stack.push_async_callback(store.close)
        return store

    async def run_in_background(self, *repeated: Awaitable[None]) -> None:
        """Run these loops until the service stops."""
        await self.stack.enter_async_context(loops.running(*repeated))

    async def serve(
        self,
        register: Callable[[grpc.aio.Server], None],
        services: Sequence[str],
        rules: Rules,
        actions: Mapping[str, Action],
        ids: Mapping[str, IdOf] | None = None,
    ) -> Running:
        """Serve metrics and the gRPC services with these full names, which `register` adds to the server.

        Args:
            rules: who may call what, with mTLS.
            actions: the methods that the audit log records.
            ids: what the methods with an idempotency key create.

        Raises:
            OSError: an address cannot be bound.
        """
        settings = self._settings
        serving_metrics = metrics.serving(settings.metrics_host, settings.metrics_port)
        metrics_port = await self.stack.enter_async_context(serving_metrics)
        audit = await self.stack.enter_async_context(audit_log(self.client))
        serving = rpc_server.serving(
            settings,
            register,
            services,
            ready=self._is_ready,
            certificates=self._certificates,
            callers=Callers(rules, parse_callers(settings.grpc_callers)),
            recorder=CallRecorder(audit, actions, ids or {}),
        )
        ports = await self.stack.enter_async_context(serving)
        return Running(ports.rpc, metrics_port, ports.health)


@asynccontextmanager
async def service_runtime(
    name: str, settings: RpcSettings, *, lease: float | None = None
) -> AsyncIterator[ServiceRuntime]:
    """Open the runtime of the service `name`.

    Args:
        lease: seconds of the leases the service holds, if any; MongoDB's socket timeout has to fit them.

    Raises:
        OSError: a setting or a certificate cannot be used.
    """
    async with AsyncExitStack() as stack:
        certificates = await stack.enter_async_context(tls.certificates(settings))
        socket_ms = mongo.MAX_SOCKET_MS if lease is None else mongo.socket_ms_for(lease)
        client = mongo.connect(settings.mongodb_uri, app=name, socket_ms=socket_ms)
        stack.callback(client.close)
        connecting = jetstream.connecting(settings.nats_url, name=name, ca_file=settings.nats_ca_file)
        stream = await stack.enter_async_context(connecting)
        yield ServiceRuntime(settings, stack, certificates, client, stream)


async def _prepare(stores: Sequence[Store]) -> None:
    for store in stores:
        await store.prepare()


def instance_id() -> str:
    """Identifies this process as the owner of a lease."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
