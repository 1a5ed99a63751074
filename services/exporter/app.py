"""Builds the exporter: the only place where its objects are put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc
from pymongo import MongoClient

from services.audited import METHODS
from services.callers import RULES
from services.chassis import loops, mongo
from services.chassis.blobs.contract import BlobStore
from services.chassis.jetstream import JetStream
from services.chassis.kubernetes import OwnPod
from services.chassis.mongo import Document
from services.chassis.service_runtime import Running, instance_id, service_runtime
from services.exporter import operations
from services.exporter.catalogue.column_store import ColumnStore
from services.exporter.export.deletion_cost import LOOK_EVERY, DeletionCost
from services.exporter.export.file_maker import FileMaker
from services.exporter.export.preflight import Preflights
from services.exporter.export.worker import Worker
from services.exporter.formats import formats
from services.exporter.jobs.changes import JobChanges
from services.exporter.jobs.dispatch import Dispatcher
from services.exporter.jobs.job import id_for_key
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.store_owner import StoreOwner
from services.exporter.jobs.streams import keep_streams
from services.exporter.jobs.sweep import Sweeper
from services.exporter.jobs.tenant_metrics import TenantMetrics
from services.exporter.profile_service import ProfileService
from services.exporter.profiles.registry import ProfileRegistry
from services.exporter.profiles.store import ProfileStore
from services.exporter.requests.field_list import FieldLists
from services.exporter.requests.fields import FieldChecks
from services.exporter.service import ExporterService
from services.exporter.settings import ExporterSettings
from services.limits import Limits
from services.wire import exporter_pb2_grpc, profiles_pb2_grpc

SERVICE, PROFILES = "catalog.exports.v1.ExporterService", "catalog.exports.v1.ProfileService"
DISPATCH_EVERY, DISPATCH_IDLE = 0.5, 1.0
EVENTS_EVERY, EVENTS_IDLE = 0.2, 2.0
WORKER_PAUSE = 1.0
GIVE_UP_EVERY = 1.0
LISTEN_EVERY = 1.0
MEASURE_EVERY = 5.0
SWEEP_PROFILES_EVERY = 3_600.0
MEASURE_FILES_EVERY = 300.0
"""This reads an index entry of every file."""
STREAMS_EVERY = 10.0
CATALOGUE_SELECTION_MS = 5_000
"""A catalogue that does not answer is reported on the job after this time."""


@asynccontextmanager
async def build(settings: ExporterSettings) -> AsyncIterator[Running]:
    """Run the exporter; on leaving: no new calls, jobs given back, connections closed."""
    async with service_runtime("exporter", settings, lease=settings.job_lease_seconds) as runtime:
        catalogue_uri = settings.catalogue_uri or settings.mongodb_uri
        catalogues = mongo.connect_sync(catalogue_uri, app="export", selection_ms=CATALOGUE_SELECTION_MS)
        runtime.stack.callback(catalogues.close)
        database = runtime.client["exporter"]
        store, columns = JobStore(database), ColumnStore(database)
        profiles = ProfileStore(database)
        await runtime.prepare(store, profiles)
        blobs = await runtime.blobs(settings.artifacts_url)
        dispatcher = Dispatcher(store, runtime.jetstream)
        changes = JobChanges(runtime.jetstream)
        limits = Limits(settings)
        tenants = TenantMetrics(store, limits)
        sweeper = Sweeper(store, blobs, tenants, history=settings.job_history_days * 86_400)
        background = [
            loops.repeat("streams", STREAMS_EVERY, partial(keep_streams, runtime.jetstream, settings.stream_replicas)),
            loops.repeat("dispatch", DISPATCH_EVERY, dispatcher.dispatch_due, idle=DISPATCH_IDLE),
            loops.repeat("restore_lost", settings.dispatch_seconds, dispatcher.restore_lost),
            loops.repeat("events", EVENTS_EVERY, dispatcher.send_events, idle=EVENTS_IDLE, wake=dispatcher.ended),
            loops.repeat("changes", LISTEN_EVERY, changes.listen),
            loops.repeat("sweep", settings.sweep_seconds, partial(_sweep, sweeper, StoreOwner(database, blobs))),
            loops.repeat("measure", MEASURE_EVERY, sweeper.measure),
            loops.repeat("measure_files", MEASURE_FILES_EVERY, tenants.measure_files),
            loops.repeat("sweep_profiles", SWEEP_PROFILES_EVERY, profiles.sweep),
        ]
        if settings.worker_jobs:
            worker = _worker(settings, store, runtime.jetstream, changes, catalogues, blobs, columns, dispatcher.ended)
            # `run` returns only after an unexpected error.
            background.append(loops.repeat("worker", WORKER_PAUSE, worker.run))
            background.append(loops.repeat("give_up", GIVE_UP_EVERY, worker.give_up_exhausted))
            if settings.pod_name is not None:
                cost = DeletionCost(_own_pod(settings, settings.pod_name), worker.seconds_of_work)
                background.append(loops.repeat("deletion_cost", LOOK_EVERY, cost.look))
        await runtime.run_in_background(*background)
        checks = FieldChecks(catalogues, columns)
        preflights = Preflights(
            catalogues,
            store,
            checks,
            max_columns=settings.max_columns,
            escape_formulas=settings.escape_formulas,
        )
        registry = ProfileRegistry(formats(), profiles, limits)
        field_lists = FieldLists(catalogues, columns)
        service = ExporterService(
            store,
            checks,
            field_lists,
            dispatcher,
            changes,
            formats(),
            blobs,
            limits,
            preflights,
            registry,
            max_attempts=settings.job_max_attempts,
        )
        runtime.stack.push_async_callback(service.settled)
        profile_service = ProfileService(registry, profiles, field_lists, limits)

        def register(server: grpc.aio.Server) -> None:
            exporter_pb2_grpc.add_ExporterServiceServicer_to_server(service, server)
            profiles_pb2_grpc.add_ProfileServiceServicer_to_server(profile_service, server)
            server.add_generic_rpc_handlers((operations.handler(service),))

        running = await runtime.serve(
            register,
            [SERVICE, PROFILES, operations.SERVICE],
            RULES,
            METHODS,
            {"CreateJob": lambda request: ("job", id_for_key(request.tenant, request.idempotency_key))},
        )
        runtime.stack.callback(service.leave)
        yield running


async def _sweep(sweeper: Sweeper, owner: StoreOwner) -> None:
    if await owner.is_this_deployment():
        await sweeper.round()


def _own_pod(settings: ExporterSettings, name: str) -> OwnPod:
    host, port = settings.kubernetes_service_host, settings.kubernetes_service_port
    return OwnPod(host, port, name, settings.service_account)


def _worker(
    settings: ExporterSettings,
    store: JobStore,
    stream: JetStream,
    changes: JobChanges,
    catalogues: MongoClient[Document],
    blobs: BlobStore,
    columns: ColumnStore,
    ended: asyncio.Event,
) -> Worker:
    maker = FileMaker(
        formats(),
        catalogues,
        blobs,
        columns,
        max_columns=settings.max_columns,
        escape_formulas=settings.escape_formulas,
        keep_seconds=settings.retention_hours * 3_600,
        keep_manifest_seconds=settings.manifest_days * 86_400,
        find_job=store.get,
    )
    return Worker(
        store,
        stream,
        changes,
        maker,
        ended,
        owner=instance_id(),
        slots=settings.worker_jobs,
        lease=settings.job_lease_seconds,
        first_retry=settings.job_retry_seconds,
    )
