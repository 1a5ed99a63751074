"""The parts that every gRPC service consists of: MongoDB, JetStream, certificates, background loops, server, metrics.

A service's `app.py` opens a runtime, builds its own objects from it, and serves. On leaving, everything is closed in
reverse order: no new calls first, connections last.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc

from services.chassis import jetstream, loops, mongo
from services.chassis.audit.calls import CallRecorder, IdOf
from services.chassis.audit.entry import Action
from services.chassis.audit.log import audit_log
from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore
from services.chassis.jetstream import JetStream
from services.chassis.rpc import client as rpc_client
from services.chassis.rpc import server as rpc_server
from services.chassis.rpc import tls
from services.chassis.rpc.callers import Callers, Rules
from services.chassis.rpc.tls import Certificates
from services.chassis.settings import RpcSettings, parse_callers
from services.chassis.telemetry import metrics


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
        service: str,
        rules: Rules,
        actions: Mapping[str, Action],
        ids: Mapping[str, IdOf] | None = None,
    ) -> Running:
        """Serve metrics and the gRPC service with this full name, which `register` adds to the server.

        Args:
            rules: who may call what, with mTLS.
            actions: the methods that the audit log records.
            ids: what the methods with an idempotency key create.

        Raises:
            OSError: an address cannot be bound.
        """
        settings, ready = self._settings, partial(mongo.answers, self.client)
        serving_metrics = metrics.serving(settings.metrics_host, settings.metrics_port)
        metrics_port = await self.stack.enter_async_context(serving_metrics)
        audit = await self.stack.enter_async_context(audit_log(self.client))
        serving = rpc_server.serving(
            settings,
            register,
            [service],
            ready=ready,
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


def instance_id() -> str:
    """Identifies this process as the owner of a lease."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
