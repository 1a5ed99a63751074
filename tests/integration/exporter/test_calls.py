"""The exporter's calls over gRPC: what is accepted, what is refused and how, lists, watches."""

import asyncio
import json
import uuid
from itertools import pairwise
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY

from services.exporter.jobs.job import Job, id_for_key
from services.exporter.jobs.store import JobStore
from services.wire import exporter_pb2 as pb
from tests.integration.exporting import DEADLINE, LIVE, Exporter, eventually, new_tenant, products, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def tenant(idle: Exporter) -> str:
    """A tenant with ten products."""
    name = new_tenant()
    await idle.fill(name, products(10))
    return name


# Creating


async def test_a_job_is_answered_as_it_was_accepted(idle: Exporter, tenant: str) -> None:
    options = {"include_fields": ["sku", "name"]}
    job = await idle.create(tenant, "csv", options, schedule_id="s1", schedule_name="nightly")
    assert (job.tenant, job.format, job.state, job.stage) == (
        tenant,
        "csv",
        pb.JOB_STATE_ACCEPTED,
        pb.JOB_STAGE_QUEUED,
    )
    assert (job.attempt, job.processed_documents, job.HasField("total_documents")) == (0, 0, False)
    assert json.loads(job.options_json) == options
    assert uuid.UUID(job.id).version == 4
    assert job.schedule_id == "s1"
    assert job.HasField("created_at") and not job.HasField("finished_at")
    assert await idle.get(job) == job
    assert (await idle.document(job))["schedule_name"] == "nightly"


async def test_the_same_key_and_request_is_the_same_job(idle: Exporter, tenant: str) -> None:
    first = await idle.create(tenant, "csv", {"utf8_bom": False, "delimiter": ";"}, idempotency_key="order 1")
    again = await idle.create(tenant, "csv", {"delimiter": ";", "utf8_bom": False}, idempotency_key="order 1")
    assert first.id == again.id == id_for_key(tenant, "order 1")
    assert await idle.jobs.count_documents({"tenant": tenant}) == 1


async def test_another_key_or_another_tenants_key_is_another_job(idle: Exporter, tenant: str) -> None:
    other = new_tenant()
    await idle.fill(other, products(1))
    jobs = [
        await idle.create(tenant, idempotency_key="k1"),
        await idle.create(tenant, idempotency_key="k2"),
        await idle.create(other, idempotency_key="k1"),
    ]
    assert len({job.id for job in jobs}) == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("csv", {}), ("json", {})),
        (("csv", {}), ("csv", {"utf8_bom": False})),
        (("csv", {"filters": {"price": 1.50}}), ("csv", {"filters": {"price": "1.50"}})),
        (("csv", {"filters": {"price": 1}}), ("csv", {"filters": {"price": 1.0}})),
    ],
)
async def test_the_same_key_with_another_request_is_refused(
    idle: Exporter, tenant: str, first: tuple[str, object], second: tuple[str, object]
) -> None:
    await idle.create(tenant, *first, idempotency_key="k")
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "idempotency_key_reused"):
        await idle.create(tenant, *second, idempotency_key="k")


async def test_an_id_may_be_chosen_and_is_refused_when_it_is_none(idle: Exporter, tenant: str) -> None:
    chosen = str(uuid.uuid4())
    assert (await idle.create(tenant, job_id=chosen.upper())).id == chosen
    assert (await idle.create(tenant, job_id=chosen)).id == chosen
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "idempotency_key_reused"):
        await idle.create(tenant, "json", job_id=chosen)
    async with refused(INVALID, "invalid_request") as told:
        await idle.create(tenant, job_id="seven")
    assert told.fields == {"job_id": "is not a UUID"}


async def test_an_id_of_another_tenants_job_tells_nothing_of_it(idle: Exporter, tenant: str) -> None:
    other = new_tenant()
    await idle.fill(other, products(1))
    job = await idle.create(tenant)
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "idempotency_key_reused"):
        await idle.create(other, job_id=job.id)
    assert (await idle.get(job)).tenant == tenant


async def test_wrong_options_name_every_field(idle: Exporter, tenant: str) -> None:
    async with refused(INVALID, "invalid_request") as told:
        await idle.create(tenant, "csv", {"utf8_bom": "yes", "delimiter": "::", "utf8_bomb": True})
    assert told.fields.keys() == {"utf8_bom", "delimiter", "utf8_bomb"}
    assert told.fields["utf8_bomb"] == "is not an option of this format"
    assert told.domain == "exports.catalog"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "1",
        "{",
        "{'a': 1}",
        '{"filters": NaN}',
        '{"file_name": "\\ud800"}',
        "[" * 100_000,
        '{"a":' + "9" * 5000,
    ],
)
async def test_options_that_are_no_json_object_are_refused(idle: Exporter, tenant: str, text: str) -> None:
    request = pb.CreateJobRequest(tenant=tenant, format="csv", options_json=text)
    async with refused(INVALID, "invalid_request") as told:
        await idle.stub.CreateJob(request, timeout=DEADLINE)
    assert told.fields.keys() == {"options_json"}


async def test_options_larger_than_a_document_can_hold_are_refused(idle: Exporter, tenant: str) -> None:
    async with refused(INVALID, "invalid_request") as told:
        await idle.create(tenant, "csv", {"filters": {"sku": "x" * 3_000_000}})
    assert "larger than" in told.fields["options_json"]


async def test_thousands_of_wrong_fields_still_reach_the_caller(idle: Exporter, tenant: str) -> None:
    unknown = {f"価格の長い名前フィールド{n}": True for n in range(3_000)}
    async with refused(INVALID, "invalid_request") as told:
        await idle.create(tenant, "csv", unknown)
    assert any("more like these" in said for said in told.fields.values())


async def test_an_unknown_format_is_named_beside_the_known_ones(idle: Exporter, tenant: str) -> None:
    async with refused(NOT_FOUND, "unknown_format") as told:
        await idle.create(tenant, "pdf")
    assert "csv, excel, json, parquet, xml, zip" in told.message


@pytest.mark.parametrize("name", ["", "ACME", "a.b", "a b", "a/b", "$where", "a" * 39, "-a", "ä"])
async def test_what_cannot_be_a_tenant_is_refused(idle: Exporter, name: str) -> None:
    async with refused(INVALID, "invalid_request") as told:
        await idle.create(name)
    assert told.fields.keys() == {"tenant"}


async def test_a_tenant_without_a_catalogue_is_told_so(idle: Exporter) -> None:
    async with refused(INVALID, "catalogue_missing"):
        await idle.create(new_tenant())


async def test_request_ids_follow_the_job(idle: Exporter, tenant: str) -> None:
    request = pb.CreateJobRequest(tenant=tenant, format="csv")
    made = await idle.stub.CreateJob(request, timeout=DEADLINE, metadata=(("x-request-id", "r-17"),))
    assert (await idle.document(made.job))["request_id"] == "r-17"


# One job


async def test_another_tenants_job_is_not_found_by_any_call(idle: Exporter, tenant: str) -> None:
    job = await idle.create(tenant)
    stranger = pb.Job(id=job.id, tenant=new_tenant())
    for call in (idle.get, idle.cancel, idle.retry, idle.delete):
        async with refused(NOT_FOUND, "job_not_found"):
            await call(stranger)
    assert (await idle.get(job)).state == pb.JOB_STATE_ACCEPTED


async def test_a_live_job_can_be_cancelled_once_and_started_again(idle: Exporter, tenant: str) -> None:
    job = await idle.create(tenant)
    async with refused(PRECONDITION, "job_not_retriable"):
        await idle.retry(job)
    async with refused(PRECONDITION, "job_not_ended"):
        await idle.delete(job)
    cancelled = await idle.cancel(job)
    assert cancelled.state == pb.JOB_STATE_CANCELLED and cancelled.HasField("finished_at")
    async with refused(PRECONDITION, "job_ended"):
        await idle.cancel(job)
    again = await idle.retry(job)
    assert again.state == pb.JOB_STATE_ACCEPTED and not again.HasField("finished_at")
    await idle.cancel(job)
    await idle.delete(job)
    async with refused(NOT_FOUND, "job_not_found"):
        await idle.get(job)


async def test_a_deleted_jobs_file_is_gone(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    job = await running.completed(tenant)
    assert running.files() == await running.keys(job)
    await running.delete(job)
    assert running.files() == []


async def test_a_deleted_jobs_key_makes_a_new_job_with_a_file_of_its_own(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    first = await running.until(await running.create(tenant, idempotency_key="k"), pb.JOB_STATE_COMPLETED)
    [old_key] = await running.keys(first)
    await running.delete(first)
    second = await running.until(await running.create(tenant, idempotency_key="k"), pb.JOB_STATE_COMPLETED)
    assert first.id == second.id
    [new_key] = await running.keys(second)
    assert old_key != new_key
    assert running.files() == [new_key]


# Lists


async def ask(exporter: Exporter, tenant: str, **more: Any) -> pb.ListJobsResponse:
    request = pb.ListJobsRequest(tenant=tenant, **more)
    return await exporter.stub.ListJobs(request, timeout=DEADLINE)


async def test_pages_hold_every_job_once_and_newest_first(idle: Exporter, tenant: str) -> None:
    # Made at once, so that several share a millisecond and the id has to decide.
    made = await asyncio.gather(*(idle.create(tenant) for _ in range(23)))
    seen: list[pb.Job] = []
    cursor, pages = "", 0
    while True:
        page = await ask(idle, tenant, page_size=5, page_token=cursor)
        seen += page.jobs
        cursor, pages = page.next_page_token, pages + 1
        if not cursor:
            break
    assert pages == 5
    assert sorted(job.id for job in seen) == sorted(job.id for job in made)
    order = [(job.created_at.ToMilliseconds(), job.id) for job in seen]
    assert order == sorted(order, reverse=True)


async def test_a_full_last_page_has_no_next_one(idle: Exporter, tenant: str) -> None:
    for _ in range(4):
        await idle.create(tenant)
    page = await ask(idle, tenant, page_size=4)
    assert (len(page.jobs), page.next_page_token) == (4, "")


async def test_lists_are_narrowed_by_state_format_and_schedule(idle: Exporter, tenant: str) -> None:
    nightly = await idle.create(tenant, "json", schedule_id="s1")
    plain = await idle.create(tenant, "csv")
    cancelled = await idle.cancel(await idle.create(tenant, "csv"))

    async def ids(**more: object) -> set[str]:
        return {job.id for job in (await ask(idle, tenant, **more)).jobs}

    assert await ids() == {nightly.id, plain.id, cancelled.id}
    assert await ids(format="csv") == {plain.id, cancelled.id}
    assert await ids(schedule_id="s1") == {nightly.id}
    assert await ids(states=[pb.JOB_STATE_CANCELLED]) == {cancelled.id}
    assert await ids(states=list(LIVE), format="csv") == {plain.id}
    assert await ids(states=[pb.JOB_STATE_FAILED, pb.JOB_STATE_EXPIRED]) == set()
    assert (await ask(idle, new_tenant())).jobs == []


async def test_a_page_of_jobs_with_long_options_ends_early_and_goes_on(idle: Exporter, tenant: str) -> None:
    await idle.create(tenant)
    long = {"options_json": json.dumps({"filters": {"sku": "x" * 1_000_000}})}
    for _ in range(5):
        job = await idle.create(tenant)
        await idle.jobs.update_one({"_id": job.id}, {"$set": long})
    found, cursor = 0, ""
    while True:
        page = await ask(idle, tenant, page_token=cursor)
        found, cursor = found + len(page.jobs), page.next_page_token
        if not cursor:
            break
    assert found == 6


@pytest.mark.parametrize("cursor", ["x", "!!!!", "AAAA", "MTIz", "MTIzL2FiYw==x", "é", "LTk5OTk5OTk5OTk5OTk5OTk5L2E"])
async def test_a_cursor_that_is_none_of_ours_is_refused(idle: Exporter, tenant: str, cursor: str) -> None:
    async with refused(INVALID, "invalid_request") as told:
        await ask(idle, tenant, page_token=cursor)
    assert told.fields.keys() == {"page_token"}


async def test_a_list_refuses_a_negative_limit_and_an_unknown_state(idle: Exporter, tenant: str) -> None:
    async with refused(INVALID, "invalid_request") as told:
        await ask(idle, tenant, page_size=-1)
    assert told.fields.keys() == {"page_size"}
    for state in (0, 99):
        async with refused(INVALID, "invalid_request") as told:
            await ask(idle, tenant, states=[state])
        assert told.fields.keys() == {"states"}
    assert len((await ask(idle, tenant, page_size=1_000_000)).jobs) == 0


# Completions


async def test_completions_of_all_tenants_come_once_and_in_order(running: Exporter) -> None:
    tenants = [new_tenant(), new_tenant()]
    for tenant in tenants:
        await running.fill(tenant, products(3))
    jobs = [await running.create(tenants[n % 2]) for n in range(9)]
    done = [await running.until(job, pb.JOB_STATE_COMPLETED) for job in jobs]
    expected = sorted(done, key=lambda job: (job.finished_at.ToMilliseconds(), job.id))

    async def listed(since: Timestamp | None) -> list[pb.Job]:
        found: list[pb.Job] = []
        request = pb.ListEndedJobsRequest(since=since, page_size=2)
        while True:
            page = await running.stub.ListEndedJobs(request, timeout=DEADLINE)
            assert len(page.files) <= 2
            found += [file.job for file in page.files]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    assert await listed(None) == expected
    since = expected[4].finished_at
    later = [job for job in expected if job.finished_at.ToMilliseconds() >= since.ToMilliseconds()]
    assert await listed(since) == later


async def test_completions_refuse_what_is_no_time_cursor_or_limit(idle: Exporter) -> None:
    wrong = {
        "since": pb.ListEndedJobsRequest(since=Timestamp(seconds=2**60)),
        "page_token": pb.ListEndedJobsRequest(page_token="?"),
        "page_size": pb.ListEndedJobsRequest(page_size=-1),
    }
    for field, request in wrong.items():
        async with refused(INVALID, "invalid_request") as told:
            await idle.stub.ListEndedJobs(request, timeout=DEADLINE)
        assert told.fields.keys() == {field}


async def test_files_of_several_jobs_come_without_options_and_missing_ones_are_left_out(
    running: Exporter,
) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(3))
    options = {"include_fields": ["sku"], "platform_ids": [str(uuid.uuid4())]}
    jobs = [await running.completed(tenant, "csv", options) for _ in range(2)]
    wanted = [(tenant, jobs[0].id.upper()), (tenant, jobs[1].id), (tenant, str(uuid.uuid4())), ("other", jobs[0].id)]
    request = pb.BatchGetJobFilesRequest(requests=[pb.GetJobFileRequest(tenant=t, job_id=j) for t, j in wanted[:3]])
    found = (await running.stub.BatchGetJobFiles(request, timeout=DEADLINE)).files
    for job in jobs:
        job.ClearField("options_json")
    assert sorted((file.job for file in found), key=lambda job: job.id) == sorted(jobs, key=lambda job: job.id)
    assert sorted(file.artifact_key for file in found) == await running.keys(*jobs)
    others = pb.BatchGetJobFilesRequest(requests=[pb.GetJobFileRequest(tenant=wanted[3][0], job_id=wanted[3][1])])
    assert not (await running.stub.BatchGetJobFiles(others, timeout=DEADLINE)).files
    async with refused(INVALID, "invalid_request") as told:
        await running.stub.BatchGetJobFiles(pb.BatchGetJobFilesRequest(requests=51 * [pb.GetJobFileRequest()]))
    assert told.fields.keys() == {"requests"}


# Watching


async def test_a_watch_shows_the_job_at_once_and_at_every_change_until_its_end(
    idle: Exporter, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await idle.create(tenant)
    states: list[int] = []
    reads: list[str] = []
    get = JobStore.get_current

    async def noted(store: JobStore, of: str, job_id: str) -> Job | None:
        reads.append(job_id)
        return await get(store, of, job_id)

    monkeypatch.setattr(JobStore, "get_current", noted)

    async def watch() -> None:
        async for change in idle.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE):
            states.append(change.job.state)

    async def has_read(times: int) -> bool:
        return len(reads) >= times

    watching = asyncio.create_task(watch())
    await eventually("it looks again after the first state", lambda: has_read(2))
    await idle.jobs.update_one({"_id": job.id}, [{"$set": {"updated_at": "$$NOW"}}])  # as a wake-up does: nothing shows
    before = len(reads)
    await eventually("it has looked since", lambda: has_read(before + 2))
    assert states == [pb.JOB_STATE_ACCEPTED]
    await idle.cancel(job)
    await asyncio.wait_for(watching, 10)
    assert states == [pb.JOB_STATE_ACCEPTED, pb.JOB_STATE_CANCELLED]


async def test_a_watch_of_an_export_ends_with_its_completion(running: Exporter) -> None:
    tenant = new_tenant()
    await running.fill(tenant, products(20_000))
    job = await running.create(tenant, "zip")
    watching = running.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
    changes = [change.job async for change in watching]
    assert changes[-1].state == pb.JOB_STATE_COMPLETED
    assert changes[-1].records == {"products": 20_000}
    assert all(before != after for before, after in pairwise(changes))


async def test_a_watcher_who_leaves_takes_nothing_with_him(idle: Exporter, tenant: str) -> None:
    job = await idle.create(tenant)
    watching = idle.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
    assert await watching.read() == pb.WatchJobResponse(job=job)
    before = calls("WatchJob", "CANCELLED")
    watching.cancel()

    async def gone() -> bool:
        return calls("WatchJob", "CANCELLED") == before + 1

    await eventually("the server's side has ended too", gone)
    assert (await idle.get(job)).state == pb.JOB_STATE_ACCEPTED


def calls(method: str, code: str) -> float:
    """How many calls have ended so."""
    return REGISTRY.get_sample_value("rpc_server_seconds_count", {"method": method, "code": code}) or 0.0


async def test_watching_a_job_that_is_not_there_or_goes_away_is_not_found(idle: Exporter, tenant: str) -> None:
    async with refused(NOT_FOUND, "job_not_found"):
        request = pb.WatchJobRequest(tenant=tenant, job_id=str(uuid.uuid4()))
        await idle.stub.WatchJob(request, timeout=DEADLINE).read()
    job = await idle.create(tenant)
    watching = idle.stub.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id=job.id), timeout=DEADLINE)
    await watching.read()
    await idle.jobs.delete_one({"_id": job.id})
    async with refused(NOT_FOUND, "job_not_found"):
        await watching.read()


# Formats


async def test_formats_are_listed_with_the_schema_of_their_options(idle: Exporter) -> None:
    listed = (await idle.stub.ListFormats(pb.ListFormatsRequest(), timeout=DEADLINE)).formats
    assert [form.name for form in listed] == ["csv", "excel", "json", "parquet", "xml", "zip"]
    assert [form.extension for form in listed] == [".csv", ".xlsx", ".json", ".parquet", ".xml", ".zip"]
    schemas = {form.name: json.loads(form.options_schema_json) for form in listed}
    assert schemas["zip"]["properties"]["max_rows_per_file"]["default"] == 30_000
    assert all(schema["additionalProperties"] is False for schema in schemas.values())
    assert all("include_fields" in schema["properties"] for schema in schemas.values())


async def test_feed_templates_are_listed_with_their_rules(idle: Exporter) -> None:
    listed = (await idle.stub.ListTemplates(pb.ListTemplatesRequest(), timeout=DEADLINE)).templates
    assert {one.name: list(one.formats) for one in listed} == {
        "google_merchant": ["csv", "xml"],
        "meta_catalogue": ["csv"],
    }
    google = {column.name: column for column in listed[0].columns}
    assert (google["title"].required, google["title"].max_length, google["gtin"].kind) == (True, 150, "gtin")
    assert [(rule.reason, rule.rule) for rule in google["condition"].rules][1:] == [
        ("not_allowed", "one of: new, refurbished, used")
    ]


# Ids, platforms and malformed requests


async def test_an_id_is_found_in_any_spelling(idle: Exporter, tenant: str) -> None:
    job = await idle.create(tenant)
    for spelling in (job.id.upper(), job.id.replace("-", ""), f"urn:uuid:{job.id}"):
        assert (await idle.get(pb.Job(tenant=tenant, id=spelling))).id == job.id
    async with refused(NOT_FOUND, "job_not_found"):
        await idle.get(pb.Job(tenant=tenant, id="seven"))


async def test_an_id_and_a_key_in_one_request_are_refused(idle: Exporter, tenant: str) -> None:
    async with refused(INVALID, "invalid_request") as problem:
        await idle.create(tenant, job_id=str(uuid.uuid4()), idempotency_key="k")
    assert problem.fields.keys() == {"job_id"}


async def test_every_call_refuses_an_empty_tenant(idle: Exporter) -> None:
    nobody = pb.Job(id=str(uuid.uuid4()))
    for call in (idle.get, idle.cancel, idle.retry, idle.delete):
        async with refused(INVALID, "invalid_request") as problem:
            await call(nobody)
        assert problem.fields == {"tenant": "must not be empty"}


async def test_malformed_bytes_are_refused_without_the_text_of_an_exception(idle: Exporter) -> None:
    for method in ("unary_unary", "unary_stream"):
        name = "GetJob" if method == "unary_unary" else "WatchJob"
        call = getattr(idle.channel, method)(f"/catalog.exports.v1.ExporterService/{name}")
        async with refused(INVALID, "malformed_request") as problem:
            if method == "unary_unary":
                await call(b"\xff\xff", timeout=DEADLINE)
            else:
                await call(b"\xff\xff", timeout=DEADLINE).read()
        assert problem.message == "The request is not a valid protobuf message."


async def test_platforms_are_a_field_of_messages_and_an_option_of_the_stored_job(idle: Exporter, tenant: str) -> None:
    chosen = str(uuid.uuid4()).upper()
    job = await idle.create(tenant, "csv", {"utf8_bom": False, "platform_ids": [chosen]})
    assert (json.loads(job.options_json), list(job.platforms.platform_ids)) == ({"utf8_bom": False}, [chosen])
    assert (await idle.document(job))["options_json"] == f'{{"utf8_bom": false, "platform_ids": ["{chosen}"]}}'
    none, all_ = await idle.create(tenant, "csv", {"platform_ids": []}), await idle.create(tenant)
    assert (none.HasField("platforms"), list(none.platforms.platform_ids)) == (True, [])
    assert not all_.HasField("platforms")


@pytest.mark.parametrize("platforms", [None, pb.PlatformSelection()])
async def test_platforms_among_the_options_of_a_message_are_refused(
    idle: Exporter, tenant: str, platforms: pb.PlatformSelection | None
) -> None:
    text = '{"platform_ids": []}'
    create = pb.CreateJobRequest(tenant=tenant, format="csv", options_json=text, platforms=platforms)
    check = pb.CheckJobRequest(tenant=tenant, format="csv", options_json=text)
    async with refused(INVALID, "invalid_request") as created:
        await idle.stub.CreateJob(create, timeout=DEADLINE)
    async with refused(INVALID, "invalid_request") as checked:
        await idle.stub.CheckJob(check, timeout=DEADLINE)
    assert created.fields == checked.fields == {"platform_ids": "must be sent in the field `platforms`"}
