"""The Python client, sync and async, with a real gateway: what the README of a client author would show."""

import asyncio
import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import reduce
from operator import getitem
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from catalog_exports import (
    ApiError,
    AsyncCatalogExports,
    CatalogExports,
    Job,
    JobNotCompleted,
    KeyRejected,
    UnexpectedAnswer,
    Unreachable,
    WaitTimedOut,
)
from catalog_exports.client import models
from catalog_exports.client.sinks import PartFile
from deploy.local.demo.receivers.sftp_server import sftp_server
from deploy.local.servers import free_port
from tests.rest import Rest
from tests.system import System
from tests.tcp_proxy import TcpProxy

TENANT = "python-client"
PRODUCTS = 3_000


@pytest.fixture(scope="module")
def rest(system: System) -> Rest:
    system.fill(
        TENANT, [{"_id": str(n), "sku": f"A{n}", "text": "x" * 500, "even": n % 2 == 0} for n in range(PRODUCTS)]
    )
    return system.client(TENANT)


@pytest.fixture
def client(rest: Rest) -> Iterator[CatalogExports]:
    with CatalogExports(rest.url, rest.key) as client:
        yield client


@contextmanager
def through_a_proxy(system: System, key: str, retries: int = 4) -> Iterator[tuple[CatalogExports, TcpProxy]]:
    with (
        TcpProxy("127.0.0.1", system.http_port) as proxy,
        CatalogExports(f"http://127.0.0.1:{proxy.port}", key, retries=retries) as client,
    ):
        yield client, proxy


def test_one_line_from_the_request_to_the_verified_file(client: CatalogExports, rest: Rest, tmp_path: Path) -> None:
    path = (
        client.exports.create("csv", filters={"even": True}, include_fields=["sku"]).wait().download(tmp_path / "x.csv")
    )
    lines = path.read_text("utf-8-sig").splitlines()
    assert (lines[0], len(lines)) == ("sku", PRODUCTS // 2 + 1)
    [newest] = client.jobs.list(limit=1)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == newest.data.sha256
    assert rest.job(newest.id)["options"] == {"filters": {"even": True}, "include_fields": ["sku"]}
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]


async def test_the_same_with_asyncio_and_with_events(rest: Rest, tmp_path: Path) -> None:
    async with AsyncCatalogExports(rest.url, rest.key) as client:
        job = await client.exports.create("json", {"json_lines": True})
        states = [state async for state in job.events()]
        assert (states[-1].status, job.status) == ("completed", "completed")
        path = await (await job.wait()).download(tmp_path)
        assert path.name == job.data.file_name
        assert len(path.read_bytes().splitlines()) == job.data.total_records == PRODUCTS
        assert [one.id async for one in client.jobs.list(format="json", limit=1)] == [job.id]


async def test_a_profile_is_saved_changed_and_run(rest: Rest, tmp_path: Path) -> None:
    async with AsyncCatalogExports(rest.url, rest.key) as client:
        made = await client.profiles.create("Even", "csv", {"filters": {"even": True}, "include_fields": ["sku"]})
        changed = await client.profiles.update(made.id, name="Even ones")
        assert [one.version async for one in client.profiles.versions(made.id)] == [2, 1]
        assert (await client.profiles.version(made.id, 1), await client.profiles.get(made.id)) == (made, changed)
        assert [one.id async for one in client.profiles.list(name="even", format="csv")] == [made.id]
        job = await (await client.profiles.run(made.id, {"utf8_bom": False, "filters": {"sku": "A2"}})).wait()
        assert (await job.download(tmp_path)).read_text().split() == ["sku", "A2"]
        assert (job.data.profile_id, job.data.profile_version) == (made.id, 2)
        assert [one.id async for one in client.jobs.list(profile=made.id)] == [job.id]
        assert (await client.limits()).profiles is not None
        await client.profiles.delete(made.id)


HEADERS = 64 * 1024
"""Bytes of all that is no file."""


def test_templates_and_the_report_on_rows(client: CatalogExports) -> None:
    templates = {template.name: template for template in client.templates()}
    assert [column.name for column in templates["meta_catalogue"].columns if column.required][:2] == ["id", "title"]
    columns = [{"header": "sku", "field": "sku", "max_length": 1}]
    job = client.exports.create("csv", platform_ids=[], columns=columns).wait(60)
    report = job.report()
    assert {(count.column, count.reason, count.rule) for count in report.counts} == {("sku", "cut_text", None)}
    assert len(report.rows) == min(100, report.counts[0].rows)


def test_a_download_that_is_cut_continues_where_it_was(system: System, rest: Rest, tmp_path: Path) -> None:
    job_id = rest.file("csv")[0]["id"]
    with through_a_proxy(system, rest.key) as (client, proxy):
        job = client.jobs.get(job_id)
        size = job.data.file_size or 0
        proxy.cut_after(size // 2, "down")
        path = job.download(tmp_path / "all.csv")
        assert proxy.cuts == 1
        # What the client had received when it was cut is not sent again; what was on its way may be lost with it.
        assert proxy.down <= size + size // 2 + HEADERS
    assert path.read_bytes() == rest.download(job_id).body


def test_a_later_call_continues_a_part_and_does_not_trust_it(
    client: CatalogExports, rest: Rest, tmp_path: Path
) -> None:
    job = client.exports.create("csv").wait()
    content = rest.download(job.id).body
    for kept in (content[:100_000], b"damaged", content, content + b"more"):
        part = PartFile(tmp_path / "x.csv", job.data.sha256 or "")
        part.write(kept)
        part.close()
        received: list[int] = []
        path = job.download(tmp_path / "x.csv", on_progress=lambda done, _, seen=received: seen.append(done))  # type: ignore[misc]
        assert path.read_bytes() == content
        if kept is not content and content.startswith(kept):
            assert received[0] > len(kept)
        assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]
    stream = io.BytesIO()
    job.copy_to(stream)
    assert stream.getvalue() == content


def test_a_request_whose_answer_is_lost_creates_one_job(system: System, rest: Rest) -> None:
    with through_a_proxy(system, rest.key) as (client, proxy):
        before = {one.id for one in client.jobs.list()}
        proxy.cut_after(1, "down")
        job = client.exports.create("csv", include_fields=["sku"]).wait()
        assert proxy.cuts == 1
        assert {one.id for one in client.jobs.list()} - before == {job.id}


def test_a_wait_survives_a_gateway_that_is_gone_for_a_moment(system: System) -> None:
    with through_a_proxy(system, system.key(system.fill_wide()), retries=0) as (client, proxy):
        job = client.exports.create("excel")
        proxy.refuse()
        with pytest.raises(Unreachable):
            job.refresh()
        again = threading.Timer(0.3, proxy.heal)
        again.start()
        assert job.wait(60).status == "completed"
        again.join()


def test_what_goes_wrong_is_an_exception_with_fields(client: CatalogExports, rest: Rest, system: System) -> None:
    with pytest.raises(ApiError) as refused:
        client.exports.create("csv", {"filters": {"skuu": 1}, "delimeter": ";"})
    assert (refused.value.status, refused.value.code) == (422, "invalid_request")
    assert [error.field for error in refused.value.errors] == ["delimeter"]
    with CatalogExports(rest.url, "cx_unknown") as stranger, pytest.raises(KeyRejected):
        stranger.limits()
    with CatalogExports(f"http://127.0.0.1:{free_port()}", rest.key, retries=0) as nobody, pytest.raises(Unreachable):
        nobody.limits()
    with CatalogExports(f"{rest.url}/docs/static/swagger-ui.css?", rest.key) as other, pytest.raises(UnexpectedAnswer):
        other.limits()


def test_a_job_that_does_not_complete_is_told_apart_from_one_that_takes_time(
    system: System, rest: Rest, tmp_path: Path
) -> None:
    with CatalogExports(rest.url, system.key(system.fill_wide())) as client:
        job: Job = client.exports.create("excel")
        with pytest.raises(WaitTimedOut):
            job.wait(timeout=0.1)
        with pytest.raises(JobNotCompleted, match="is processing"):
            job.download(tmp_path)
        client.jobs.get(job.id).cancel()
        with pytest.raises(JobNotCompleted) as ended:
            job.wait()
        assert ended.value.job.status == "cancelled"
        job.delete()
        with pytest.raises(ApiError, match="job") as gone:
            job.refresh()
        assert gone.value.code == "job_not_found"


async def test_platforms_and_schedules(rest: Rest, tmp_path: Path) -> None:
    with sftp_server(tmp_path / "sftp") as server:
        async with AsyncCatalogExports(rest.url, rest.key) as client:
            platform = await client.platforms.create("Shop", "sftp", server.config())
            assert (await client.platforms.test(platform.id)).ok
            assert [one.id async for one in client.platforms.list()] == [platform.id]
            schedule = await client.schedules.create(
                "Nightly",
                "0 2 * * *",
                platform.id,
                timezone="Europe/Paris",
                options={"include_fields": ["sku"], "key": ["sku"]},
            )
            paused = await client.schedules.update(schedule.id, is_active=False)
            assert (schedule.next_run_at is None, paused.next_run_at is None) == (False, True)
            resumed = await client.schedules.update(schedule.id, is_active=True)
            assert [one.at for one in await client.schedules.upcoming(schedule.id, count=1)] == [resumed.next_run_at]
            assert (await client.platforms.update(platform.id, name="Store")).name == "Store"
            run = await client.schedules.run(schedule.id)

            async def job_id() -> str | None:
                return (await anext(client.schedules.runs(schedule.id))).job_id

            while (made := await job_id()) is None:
                await asyncio.sleep(0.05)
            job = await (await client.jobs.get(made)).wait()
            assert (run.is_manual, job.data.schedule_id) == (True, schedule.id)
            assert (await client.schedules.update(schedule.id, changes=True, full_every=7)).full_every == 7
            assert (await client.schedules.baseline(schedule.id)).job_id is None
            await client.schedules.reset_baseline(schedule.id)
            times = await client.schedules.preview("30 2 * * *", timezone="Europe/Paris", count=1)
            assert [one.local[11:16] for one in times] == ["02:30"]
            await client.schedules.delete(schedule.id)
            await client.platforms.delete(platform.id)


ANSWERS: dict[tuple[str, str, str], type[BaseModel]] = {
    ("/exports/jobs/{job_id}", "get", "200"): models.JobData,
    ("/exports/jobs/{job_id}/deliveries", "post", "202"): models.Delivery,
    ("/exports/profiles/{profile_id}", "get", "200"): models.Profile,
    ("/exports/platforms/{platform_id}", "get", "200"): models.Platform,
    ("/exports/platforms/{platform_id}/test", "post", "200"): models.PlatformTest,
    ("/exports/schedules/{schedule_id}", "get", "200"): models.Schedule,
    ("/exports/schedules/{schedule_id}/run", "post", "202"): models.Run,
    ("/exports/schedules/{schedule_id}/baseline", "get", "200"): models.Baseline,
    ("/exports/schedules/preview", "post", "200"): models.FireTimes,
    ("/webhooks", "post", "201"): models.WebhookWithSecret,
    ("/webhooks/{webhook_id}", "get", "200"): models.Webhook,
    ("/webhooks/{webhook_id}/test", "post", "200"): models.WebhookAttempt,
    ("/webhooks/{webhook_id}/replay", "post", "202"): models.Replayed,
    ("/events", "get", "200"): models.EventPage,
    ("/limits", "get", "200"): models.Limits,
    ("/exports/templates", "get", "200"): models.TemplateList,
    ("/exports/jobs/{job_id}/report", "get", "200"): models.Report,
    ("/limits", "get", "422"): models.Problem,
}


def test_the_types_are_those_of_the_openapi_document(rest: Rest) -> None:
    document = rest.call("GET", "/openapi.json").json
    for (path, method, status), model in ANSWERS.items():
        [answer] = shapes(document["paths"][f"/api/v1{path}"][method]["responses"][status], document)
        content = answer["content"].get("application/json") or answer["content"]["application/problem+json"]
        assert_documented(model, content["schema"], document, model.__name__)
    options: set[str] = set()
    for path, operations in document["paths"].items():
        if path.endswith("/products"):
            [body] = operations["post"]["requestBody"]["content"].values()
            options |= {name for shape in shapes(body["schema"], document) for name in shape["properties"]}
    assert set(models.ExportOptions.__annotations__) <= options


def shapes(schema: Any, document: Any) -> list[Any]:
    """A schema without references, once for each alternative, and without the null of an optional field."""
    if "$ref" in schema:
        return shapes(reduce(getitem, schema["$ref"].removeprefix("#/").split("/"), document), document)
    if parts := schema.get("allOf"):
        made = [{"properties": schema.get("properties", {}), "required": schema.get("required", [])}]
        for part in parts:
            made = [merged(one, other) for one in made for other in shapes(part, document)]
        return made
    if among := schema.get("oneOf", schema.get("anyOf")):
        return [shape for one in among for shape in shapes(one, document)]
    return [] if schema.get("type") == "null" else [schema]


def merged(one: Any, other: Any) -> Any:
    properties = {**one["properties"], **other.get("properties", {})}
    return {"properties": properties, "required": [*one["required"], *other.get("required", [])]}


def assert_documented(model: type[BaseModel], schema: Any, document: Any, where: str) -> None:
    """Every field is in the document with its type, and one that is required here is required there.

    An optional one may be in one of several alternatives only.
    """
    alternatives = shapes(schema, document)
    documented = {name for shape in alternatives for name in shape["properties"]}
    for shape in alternatives:
        for name, field in model.model_fields.items():
            assert name in documented, f"{where}.{name}"
            if name not in shape["properties"] and not field.is_required():
                continue
            assert not field.is_required() or name in shape["required"], f"{where}.{name}"
            for found in shapes(shape["properties"][name], document):
                assert_type(field.annotation, found, document, f"{where}.{name}")


def assert_type(annotation: Any, found: Any, document: Any, where: str) -> None:
    among = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    kind = next(one for one in among if one is not type(None))
    plain = getattr(kind, "__origin__", kind)  # of Annotated, dict and tuple
    inner = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel)]
    if plain in NAMES:
        constant = found.get("const", found.get("enum", [None])[0])
        assert NAMES[plain] == found.get("type") or (constant is not None and isinstance(constant, plain)), where
    if inner:
        assert_documented(inner[0], found.get("items", found), document, where)


NAMES = {
    str: "string",
    datetime: "string",
    int: "integer",
    bool: "boolean",
    float: "number",
    dict: "object",
    tuple: "array",
}
