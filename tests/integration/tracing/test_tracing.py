"""One request is one trace, from REST to the upload, whatever is lost or tried again on the way."""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import nats
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from deploy.local.servers import NatsServer, free_port
from services.chassis.telemetry import tracing
from services.wire import exporter_pb2 as pb
from services.wire.scheduler_pb2 import RunScheduleRequest
from tests.contract.destinations.rigs._rclone import PASSWORD
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.delivering import Deliverer, deliverer
from tests.integration.exporting import Exporter, eventually, exporter, new_tenant, products
from tests.integration.scheduling import Scheduler
from tests.integration.tracing.spans import CALLER, TRACE, TRACEPARENT, Door, Seen, Spans, door

POST = "POST /api/v1/exports/{format}/products"
CREATE = "catalog.exports.v1.ExporterService/CreateJob"
ROWS = 40
PATIENT = {"job_lease_seconds": 30.0, "dispatch_seconds": 60.0}
"""A slow machine must not be taken for a silent worker or a lost message: either makes spans of its own."""


@pytest.fixture(scope="session")
def provided() -> Iterator[Spans]:
    """A provider can be set once in a process; what other tests do afterwards is dropped."""
    spans = Spans()
    trace.set_tracer_provider(spans.provider)
    yield spans
    spans.provider.shutdown()


@pytest.fixture
def spans(provided: Spans) -> Spans:
    provided.clear()
    return provided


class Way:
    """The services from the gateway to an SFTP server; the test says what is wrong with some of them."""

    def __init__(self, mongo_uri: str, nats_url: str, folder: Path, rig: SftpRig) -> None:
        self.mongo_uri, self.nats_url, self.folder, self.rig = mongo_uri, nats_url, folder, rig
        self.tenant = new_tenant()
        self._stack = AsyncExitStack()

    async def open(
        self, *, exporting: dict[str, Any] | None = None, delivering: dict[str, Any] | None = None
    ) -> tuple[Door, Exporter, Deliverer]:
        """Start exporter, delivery and gateway with these settings; there are products and a platform."""
        self.rig.clear()
        enter = self._stack.enter_async_context
        asked = {"nats_url": self.nats_url, **PATIENT, **(exporting or {})}
        running = await enter(exporter(self.mongo_uri, folder=self.folder, **asked))
        await running.fill(self.tenant, products(ROWS))
        asked = {
            "nats_url": self.nats_url,
            "delivery_lease_seconds": PATIENT["job_lease_seconds"],
            **(delivering or {}),
        }
        delivery = await enter(deliverer(self.mongo_uri, exporter=running, **asked))
        await delivery.create(self.tenant, self.rig.config())
        return await enter(door(self.mongo_uri, self.tenant, running.folder, running, delivery)), running, delivery

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def way(clean_uri: str, nats_url: str, tmp_path: Path, sftp_server: SftpRig, spans: Spans) -> AsyncIterator[Way]:
    made = Way(clean_uri, nats_url, tmp_path, sftp_server)
    yield made
    await made.close()


def accepted(spans: Spans) -> Seen:
    """The exporter's span of accepting the job, whose parents are the gateway's, whose parent is the caller's."""
    request, call = spans.one(POST), spans.one(CREATE, SpanKind.CLIENT)
    answer = spans.one(CREATE, SpanKind.SERVER)
    assert (request.kind, request.parent) == (SpanKind.SERVER, CALLER)
    assert call.parent == request.id
    assert answer.parent == call.id
    return answer


def fan_out_of(spans: Spans, delivered: Seen) -> Seen:
    """The fan-out that created the delivery; the event and the poll for completions may both start one."""
    [found] = [span for span in spans.named("fan out") if span.id == delivered.parent]
    return found


async def test_a_request_is_one_trace_from_rest_to_the_upload(way: Way, spans: Spans) -> None:
    client, exporting, _ = await way.open()
    job = await client.call("POST", "/exports/csv/products", {})
    [delivered] = await spans.until("deliver sftp")
    [heard] = await spans.until("process exports.events.completed")
    accepting = accepted(spans)

    sent, attempt, commit = spans.one("send exports.jobs"), spans.one("export csv"), spans.named("commit")[0]
    assert (sent.kind, sent.parent) == (SpanKind.PRODUCER, accepting.id)
    assert (attempt.kind, attempt.parent) == (SpanKind.CONSUMER, accepting.id)
    assert commit.parent == attempt.id

    told, settled = spans.one("send exports.events.completed"), fan_out_of(spans, delivered)
    assert (told.parent, settled.parent) == (accepting.id, accepting.id)
    assert (heard.kind, heard.parent) == (SpanKind.CONSUMER, told.id)
    assert delivered.parent == settled.id
    assert spans.below(delivered) == ["upload", "verify", "commit"]

    document = await exporting.document(pb.Job(id=job["id"]))
    assert document["traceparent"] == f"00-{TRACE}-{accepting.id}-01"
    assert not any(span.failed for span in spans.named("export csv") + spans.named("deliver sftp"))
    assert way.rig.files()


async def test_spans_tell_what_was_asked_and_made_by_the_conventions_and_no_secret(way: Way, spans: Spans) -> None:
    client, _, _ = await way.open()
    job = await client.call("POST", "/exports/csv/products", {})
    [delivered] = await spans.until("deliver sftp")
    size = len(next(iter(way.rig.files().values())))
    assert (
        spans.one(POST).attributes.items()
        >= {
            "http.request.method": "POST",
            "http.route": "/api/v1/exports/{format}/products",
            "url.path": "/api/v1/exports/csv/products",
            "http.response.status_code": 202,
        }.items()
    )
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert spans.one(CREATE, kind).attributes == {
            "rpc.system": "grpc",
            "rpc.service": "catalog.exports.v1.ExporterService",
            "rpc.method": "CreateJob",
            "rpc.response.status_code": "OK",
        }
    assert spans.one("send exports.jobs").attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "send",
        "messaging.destination.name": "exports.jobs",
    }
    assert (
        spans.one("export csv").attributes.items()
        >= {
            "exports.job.id": job["id"],
            "exports.tenant": way.tenant,
            "exports.format": "csv",
            "exports.attempt": 1,
            "exports.rows": ROWS,
            "exports.bytes": size,
            "exports.outcome": "completed",
        }.items()
    )
    assert (
        delivered.attributes.items()
        >= {
            "exports.job.id": job["id"],
            "exports.platform.type": "sftp",
            "exports.bytes": size,
            "exports.outcome": "completed",
        }.items()
    )
    everything = repr(spans.all())
    for secret in (PASSWORD, client.rest.key.split("_", 2)[2]):
        assert secret not in everything


async def test_what_each_service_logs_of_a_request_has_the_ids_of_its_trace(way: Way, spans: Spans) -> None:
    client, _, _ = await way.open()
    with capture_logs(processors=[tracing.add_ids]) as log:
        await client.call("POST", "/exports/csv/products", {})
        [delivered] = await spans.until("deliver sftp")
    ids = {line["event"]: (line.get("trace_id"), line.get("span_id")) for line in log}
    of_attempts = {
        event: {(line["trace_id"], line["span_id"]) for line in log if line["event"] == event}
        for event in ("work_claimed", "attempt_ended")
    }
    attempt = spans.one("export csv")
    assert ids["request"] == (TRACE, spans.one(POST).id)
    assert ids["job_accepted"] == (TRACE, accepted(spans).id)
    assert ids["fanned_out"] in {(TRACE, span.id) for span in spans.named("fan out")}
    assert of_attempts["work_claimed"] == of_attempts["attempt_ended"] == {(TRACE, attempt.id), (TRACE, delivered.id)}


async def test_the_trace_goes_on_when_wake_up_and_event_are_lost(way: Way, spans: Spans) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    idle = {"worker_jobs": 0, "dispatch_seconds": 2.0}
    client, _, _ = await way.open(exporting=idle, delivering={"nats_url": nowhere})
    await client.call("POST", "/exports/csv/products", {})
    [lost] = await spans.until("send exports.jobs")
    connection = await nats.connect(way.nats_url)
    assert await connection.jetstream().purge_stream("EXPORTS")
    await connection.close()

    async with exporter(way.mongo_uri, way.nats_url, way.folder, **PATIENT):
        [delivered] = await spans.until("deliver sftp")
    accepting, settled = accepted(spans), fan_out_of(spans, delivered)
    wake_ups = spans.named("send exports.jobs")
    assert wake_ups[0] == lost
    assert {span.parent for span in wake_ups} == {accepting.id}
    assert spans.one("export csv").parent == accepting.id
    assert spans.named("process exports.events.completed") == []
    assert (settled.parent, delivered.parent) == (accepting.id, settled.id)


async def test_the_trace_goes_on_when_nats_is_away_at_first(way: Way, spans: Spans, tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "late", free_port())
    client, _, _ = await way.open(exporting={"nats_url": server.url}, delivering={"nats_url": server.url})
    await client.call("POST", "/exports/csv/products", {})
    accepting = accepted(spans)
    assert spans.named("send exports.jobs") == []
    server.start()
    try:
        [delivered] = await spans.until("deliver sftp")
    finally:
        server.stop()
    assert spans.one("export csv").parent == accepting.id
    assert fan_out_of(spans, delivered).parent == accepting.id


async def test_attempts_that_fail_are_spans_of_the_same_trace(way: Way, spans: Spans) -> None:
    client, exporting, _ = await way.open()
    aside = exporting.folder.with_name("aside")
    shutil.move(exporting.folder, aside)
    way.rig.fill()
    await client.call("POST", "/exports/csv/products", {})
    await spans.until("export csv")
    shutil.move(aside, exporting.folder)
    await spans.until("deliver sftp")
    way.rig.unfill()

    async def delivered() -> bool:
        return any(span.attributes["exports.outcome"] == "completed" for span in spans.named("deliver sftp"))

    await eventually("it is delivered", delivered)
    accepting, settled = accepted(spans), fan_out_of(spans, spans.named("deliver sftp")[0])
    for name, parent, outcomes, code in (
        ("export csv", accepting, ("retried", "completed"), "artifact_store_unavailable"),
        ("deliver sftp", settled, ("retried", "completed"), "no_space"),
    ):
        found = spans.named(name)
        assert {span.parent for span in found} == {parent.id}
        assert [span.attributes["exports.attempt"] for span in found] == list(range(1, len(found) + 1))
        first, last = found[0], found[-1]
        assert (first.attributes["exports.outcome"], last.attributes["exports.outcome"]) == outcomes
        assert (first.failed, first.attributes["error.type"], last.failed) == (True, code, False)


async def test_a_job_that_is_started_again_goes_on_in_its_trace(way: Way, spans: Spans) -> None:
    client, exporting, _ = await way.open(exporting={"job_max_attempts": 1})
    aside = exporting.folder.with_name("aside")
    shutil.move(exporting.folder, aside)
    job = await client.call("POST", "/exports/csv/products", {})
    await spans.until("export csv")
    shutil.move(aside, exporting.folder)
    other = "0af7651916cd43dd8448eb211c80319c"
    again = TRACEPARENT.replace(TRACE, other)
    await client.call("POST", f"/exports/jobs/{job['id']}/retry", traceparent=again)
    attempts = await spans.until("export csv", 2)
    assert {span.parent for span in attempts} == {accepted(spans).id}
    assert [span.failed for span in attempts] == [True, False]
    spans.one("POST /api/v1/exports/jobs/{job_id}/retry", trace_id=other)


async def test_a_run_of_a_schedule_is_one_trace_with_its_job(scheduling: Scheduler, spans: Spans) -> None:
    schedule = await scheduling.create()
    await scheduling.fire(schedule, minutes_ago=1)

    async def submitted() -> Seen | None:
        return next((span for span in spans.all() if span.name == "submit run"), None)

    run: Seen = await eventually("the run is submitted", submitted)
    [attempt] = await spans.until("export csv", trace_id=run.trace)
    call = spans.one(CREATE, SpanKind.CLIENT, run.trace)
    assert (run.parent, call.parent) == ("", run.id)
    assert attempt.parent == spans.one(CREATE, SpanKind.SERVER, run.trace).id
    assert run.attributes["exports.schedule.id"] == schedule.id


async def test_a_run_that_somebody_asks_for_is_in_the_trace_of_that_request(
    scheduling: Scheduler, spans: Spans
) -> None:
    schedule = await scheduling.create()
    request = RunScheduleRequest(tenant=schedule.tenant, schedule_id=schedule.id)
    await scheduling.stub.RunSchedule(request, metadata=(("traceparent", TRACEPARENT),), timeout=10)
    [attempt] = await spans.until("export csv")
    asked, submitted = spans.one("catalog.exports.v1.SchedulerService/RunSchedule"), spans.one("submit run")
    assert (asked.parent, submitted.parent) == (CALLER, asked.id)
    assert attempt.parent == spans.one(CREATE, SpanKind.SERVER).id


async def test_refusals_are_no_errors_of_a_service_and_probes_have_no_spans(way: Way, spans: Spans) -> None:
    client, _, _ = await way.open()
    for path in ("/readyz", "/healthz"):
        assert (await _status(client.rest.url + path, client)) == 200
    assert [span for span in spans.all() if span.trace == TRACE] == []
    assert (await _status("/exports/jobs/5d1f2a5e-0000-4000-8000-000000000000", client)) == 404
    request, call = spans.one("GET /api/v1/exports/jobs/{job_id}"), "catalog.exports.v1.ExporterService/GetJob"
    assert (request.failed, request.attributes["http.response.status_code"]) == (False, 404)
    assert not spans.one(call, SpanKind.SERVER).failed
    refused = spans.one(call, SpanKind.CLIENT)
    assert (refused.failed, refused.attributes["rpc.response.status_code"]) == (True, "NOT_FOUND")


@pytest.mark.parametrize("nonsense", ["", "nonsense", f"00-{'0' * 32}-{CALLER}-01", TRACEPARENT.upper() + "!"])
async def test_a_traceparent_that_is_none_begins_a_trace(way: Way, spans: Spans, nonsense: str) -> None:
    client, _, _ = await way.open()
    await client.call("GET", "/exports/jobs", traceparent=nonsense)
    [request] = [span for span in spans.all() if span.name == "GET /api/v1/exports/jobs"]
    assert request.parent == ""
    assert request.trace != TRACE


async def _status(path: str, client: Door) -> int:
    answer = await asyncio.to_thread(client.rest.call, "GET", path, headers={"traceparent": TRACEPARENT})
    return answer.status
