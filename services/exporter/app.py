"""The one place where the exporter is put together."""

import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from pymongo import MongoClient

from services.chassis import jetstream, loops, mongo
from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore
from services.chassis.jetstream import Inbox, JetStream
from services.chassis.mongo import Document
from services.chassis.rpc import server as rpc_server
from services.chassis.rpc import tls
from services.chassis.rpc.server import Ports
from services.chassis.rpc.tls import Certificates
from services.chassis.telemetry import metrics
from services.exporter.catalogue.column_store import ColumnStore
from services.exporter.export.file_maker import FileMaker
from services.exporter.export.worker import Worker
from services.exporter.formats import formats
from services.exporter.jobs.dispatch import EXPORTS, Dispatcher
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.sweep import Sweeper
from services.exporter.service import ExporterService
from services.exporter.settings import ExporterSettings
from services.wire import exporter_pb2_grpc

SERVICE = "catalog.exports.v1.Exporter"
DISPATCH_EVERY = 0.5
WORKER_PAUSE = 1.0
# A catalogue that is away is the job's fault to report, soon; a hung read must end some time.
CATALOGUE_SELECTION_MS = 5_000


@dataclass(frozen=True, slots=True)
class Running:
    """Where the exporter listens."""

    rpc_port: int
    metrics_port: int
    health_port: int | None


@asynccontextmanager
async def build(settings: ExporterSettings) -> AsyncIterator[Running]:
    """Start everything; on leaving: no new calls, jobs given back, connections closed."""
    async with AsyncExitStack() as stack:
        certificates = await stack.enter_async_context(tls.certificates(settings))
        client = mongo.connect(settings.mongodb_uri, app="exporter")
        stack.callback(client.close)
        catalogues = mongo.connect_sync(
            settings.catalogue_uri or settings.mongodb_uri, app="export", selection_ms=CATALOGUE_SELECTION_MS
        )
        stack.callback(catalogues.close)
        store, columns = JobStore(client["exporter"]), ColumnStore(client["exporter"])
        await store.prepare()
        blobs = await open_store(settings.artifacts_url)
        stack.push_async_callback(blobs.close)
        connecting = jetstream.connecting(settings.nats_url, name="exporter", ca_file=settings.nats_ca_file)
        stream = await stack.enter_async_context(connecting)
        dispatcher = Dispatcher(store, stream, pause=settings.dispatch_seconds)
        sweeper = Sweeper(store, blobs, history=settings.history_days * 86_400)
        background = [
            loops.repeat("dispatch", DISPATCH_EVERY, dispatcher.dispatch_due),
            loops.repeat("events", DISPATCH_EVERY, dispatcher.send_events),
            loops.repeat("sweep", settings.sweep_seconds, sweeper.round),
            loops.repeat("measure", 5.0, sweeper.measure),
        ]
        if settings.worker_jobs:
            worker = _worker(settings, store, stream, catalogues, blobs, columns)
            background.append(loops.repeat("worker", WORKER_PAUSE, worker.run))  # it ends by an unforeseen error only
        await stack.enter_async_context(loops.running(*background))
        service = ExporterService(
            store,
            columns,
            dispatcher,
            formats(),
            catalogues,
            blobs,
            max_live_jobs=settings.max_live_jobs,
            max_attempts=settings.max_attempts,
        )
        metrics_port = await stack.enter_async_context(metrics.serving(settings.metrics_host, settings.metrics_port))
        stack.push_async_callback(service.settled)
        ports = await stack.enter_async_context(_serving(settings, service, client, certificates))
        stack.callback(service.leave)
        yield Running(ports.rpc, metrics_port, ports.health)


def _worker(
    settings: ExporterSettings,
    store: JobStore,
    stream: JetStream,
    catalogues: MongoClient[Document],
    blobs: BlobStore,
    columns: ColumnStore,
) -> Worker:
    maker = FileMaker(
        formats(),
        catalogues,
        blobs,
        columns,
        max_columns=settings.max_columns,
        escape_formulas=settings.escape_formulas,
        keep_seconds=settings.retention_hours * 3_600,
    )
    return Worker(
        store,
        Inbox(stream, EXPORTS, "export-workers", ack_wait=settings.lease_seconds),
        maker,
        owner=f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}",
        slots=settings.worker_jobs,
        lease=settings.lease_seconds,
        first_retry=settings.retry_seconds,
    )


def _serving(
    settings: ExporterSettings, service: ExporterService, client: mongo.Client, certificates: Certificates | None
) -> AbstractAsyncContextManager[Ports]:
    register = partial(exporter_pb2_grpc.add_ExporterServicer_to_server, service)
    ready = partial(mongo.answers, client)
    return rpc_server.serving(settings, register, [SERVICE], ready=ready, certificates=certificates)
