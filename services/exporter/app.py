"""Builds the exporter: the only place where its objects are put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from pymongo import MongoClient

from services.audited import METHODS
from services.callers import RULES
from services.chassis import loops, mongo
from services.chassis.blobs.contract import BlobStore
from services.chassis.jetstream import JetStream
from services.chassis.mongo import Document
from services.chassis.service_runtime import Running, instance_id, service_runtime
from services.exporter.catalogue.column_store import ColumnStore
from services.exporter.export.file_maker import FileMaker
from services.exporter.export.worker import Worker
from services.exporter.formats import formats
from services.exporter.jobs.changes import JobChanges
from services.exporter.jobs.dispatch import Dispatcher
from services.exporter.jobs.job import id_for_key
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.store_owner import StoreOwner
from services.exporter.jobs.sweep import Sweeper
from services.exporter.service import ExporterService
from services.exporter.settings import ExporterSettings
from services.limits import Limits
from services.wire import exporter_pb2_grpc

SERVICE = "catalog.exports.v1.ExporterService"
DISPATCH_EVERY = 0.5
WORKER_PAUSE = 1.0
GIVE_UP_EVERY = 1.0
LISTEN_EVERY = 1.0
MEASURE_EVERY = 5.0
CATALOGUE_SELECTION_MS = 5_000
"""A catalogue that does not answer is reported on the job after this time."""


@asynccontextmanager
async def build(settings: ExporterSettings) -> AsyncIterator[Running]:
    """Run the exporter; on leaving: no new calls, jobs given back, connections closed."""
    async with service_runtime("exporter", settings, lease=settings.lease_seconds) as runtime:
        catalogue_uri = settings.catalogue_uri or settings.mongodb_uri
        catalogues = mongo.connect_sync(catalogue_uri, app="export", selection_ms=CATALOGUE_SELECTION_MS)
        runtime.stack.callback(catalogues.close)
        database = runtime.client["exporter"]
        store, columns = JobStore(database), ColumnStore(database)
        await store.prepare()
        blobs = await runtime.blobs(settings.artifacts_url)
        dispatcher = Dispatcher(store, runtime.jetstream)
        changes = JobChanges(runtime.jetstream)
        sweeper = Sweeper(store, blobs, history=settings.history_days * 86_400)
        background = [
            loops.repeat("dispatch", DISPATCH_EVERY, dispatcher.dispatch_due),
            loops.repeat("restore_lost", settings.dispatch_seconds, dispatcher.restore_lost),
            loops.repeat("events", DISPATCH_EVERY, dispatcher.send_events),
            loops.repeat("changes", LISTEN_EVERY, changes.listen),
            loops.repeat("sweep", settings.sweep_seconds, partial(_sweep, sweeper, StoreOwner(database, blobs))),
            loops.repeat("measure", MEASURE_EVERY, sweeper.measure),
        ]
        if settings.worker_jobs:
            worker = _worker(settings, store, runtime.jetstream, changes, catalogues, blobs, columns)
            # `run` returns only after an unexpected error.
            background.append(loops.repeat("worker", WORKER_PAUSE, worker.run))
            background.append(loops.repeat("give_up", GIVE_UP_EVERY, worker.give_up_exhausted))
        await runtime.run_in_background(*background)
        service = ExporterService(
            store,
            columns,
            dispatcher,
            changes,
            formats(),
            catalogues,
            blobs,
            Limits(settings),
            max_attempts=settings.max_attempts,
        )
        runtime.stack.push_async_callback(service.settled)
        running = await runtime.serve(
            partial(exporter_pb2_grpc.add_ExporterServiceServicer_to_server, service),
            SERVICE,
            RULES,
            METHODS,
            {"CreateJob": lambda request: ("job", id_for_key(request.tenant, request.idempotency_key))},
        )
        runtime.stack.callback(service.leave)
        yield running


async def _sweep(sweeper: Sweeper, owner: StoreOwner) -> None:
    if await owner.is_this_deployment():
        await sweeper.round()


def _worker(
    settings: ExporterSettings,
    store: JobStore,
    stream: JetStream,
    changes: JobChanges,
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
        stream,
        changes,
        maker,
        owner=instance_id(),
        slots=settings.worker_jobs,
        lease=settings.lease_seconds,
        first_retry=settings.retry_seconds,
    )
