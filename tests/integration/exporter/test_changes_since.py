"""Files with changes: what they have, what they are compared with, and when they are refused."""

import csv
import io
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.wire import exporter_pb2 as pb
from tests.integration.exporting import Exporter, products, refused

COLUMNS = ["id", "sku", "name", "price"]


async def tenant_with(exporter: Exporter, count: int = 6) -> str:
    tenant = f"t{uuid.uuid4().hex[:12]}"
    await exporter.fill(tenant, products(count))
    return tenant


async def content(exporter: Exporter, job: pb.Job) -> bytes:
    [key] = await exporter.keys(job)
    return (exporter.folder / key).read_bytes()


async def lines(exporter: Exporter, job: pb.Job) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((await content(exporter, job)).decode("utf-8-sig"), newline="")))


async def changed_catalogue(exporter: Exporter, tenant: str) -> None:
    """One product more, one changed, one gone, one that does not match `price < 2` any more."""
    found = exporter.client[f"catalogue_{tenant}"]["products"]
    await found.insert_one({"_id": "new", "sku": "S-new", "name": "=New", "price": 0.5})
    await found.update_one({"_id": "p0000001"}, {"$set": {"name": "Renamed,\nin two lines"}})
    await found.delete_one({"_id": "p0000002"})
    await found.update_one({"_id": "p0000003"}, {"$set": {"price": 99}})


async def test_a_file_has_the_changes_since_another_one(running: Exporter) -> None:
    tenant = await tenant_with(running)
    options = {"include_fields": COLUMNS, "filters": {"price": {"lt": 2}}}
    first = await running.completed(tenant, "csv", {**options, "manifest": True})
    await changed_catalogue(running, tenant)
    second = await running.completed(tenant, "csv", {**options, "changes_since": first.id})
    rows = {row["id"]: row for row in await lines(running, second)}
    assert next(iter(rows["new"])) == "_change"
    assert {name: row["_change"] for name, row in rows.items()} == {
        "new": "added",
        "p0000001": "changed",
        "p0000002": "deleted",
        "p0000003": "deleted",
    }
    assert rows["p0000001"]["name"] == "Renamed,\nin two lines"
    assert rows["p0000002"] == {"_change": "deleted", "id": "p0000002", "sku": "", "name": "", "price": ""}
    changes = second.changes
    assert (changes.added, changes.changed, changes.deleted, changes.unchanged) == (1, 1, 2, 3)
    assert (changes.base_job_id, changes.base_sha256, changes.number) == (first.id, first.artifact.sha256, 1)
    assert dict(second.records) == {"products": 4}
    third = await running.completed(tenant, "csv", {**options, "changes_since": second.id})
    assert (third.changes.number, third.changes.unchanged, dict(third.records)) == (2, 5, {"products": 0})


@pytest.mark.parametrize("pretty", [True, False])
@pytest.mark.parametrize("json_lines", [True, False])
async def test_json_has_the_change_as_its_first_member(running: Exporter, pretty: bool, json_lines: bool) -> None:
    tenant = await tenant_with(running)
    options = {"pretty": pretty, "json_lines": json_lines}
    first = await running.completed(tenant, "json", {**options, "manifest": True})
    await changed_catalogue(running, tenant)
    second = await running.completed(tenant, "json", {**options, "changes_since": first.id})
    text = (await content(running, second)).decode()
    rows = [json.loads(line) for line in text.splitlines()] if json_lines else json.loads(text)
    assert all(next(iter(row)) == "_change" for row in rows)
    shown = {row["id"]: row for row in rows}
    assert shown["p0000002"] == {"_change": "deleted", "id": "p0000002"}
    assert shown["new"] == {"_change": "added", "id": "new", "sku": "S-new", "name": "=New", "price": 0.5}
    assert {name: row["_change"] for name, row in shown.items()} == {
        "new": "added", "p0000001": "changed", "p0000003": "changed", "p0000002": "deleted",
    }  # fmt: skip
    if pretty and not json_lines:
        assert text.startswith('[\n  {\n    "_change": ')


async def test_a_zip_has_deleted_rows_in_a_file_of_its_own(running: Exporter) -> None:
    tenant = await tenant_with(running)
    options = {"include_fields": COLUMNS, "key": ["sku"], "utf8_bom": False}
    first = await running.completed(tenant, "zip", {**options, "manifest": True})
    await changed_catalogue(running, tenant)
    for where, names in {
        "file": {"products_0001.csv", "products_0002.csv", "deleted.csv"},
        "column": {"products_0001.csv", "products_0002.csv", "products_0003.csv"},
        "none": {"products_0001.csv", "products_0002.csv"},
    }.items():
        asked = {**options, "changes_since": first.id, "deletions": where, "max_rows_per_file": 2}
        second = await running.completed(tenant, "zip", asked)
        with zipfile.ZipFile(io.BytesIO(await content(running, second))) as package:
            assert set(package.namelist()) == names
            if where == "file":
                assert package.read("deleted.csv") == b"sku\r\nS-2\r\n"
            if where == "column":
                assert package.read("products_0003.csv").splitlines() == [
                    b"_change,id,sku,name,price",
                    b"deleted,,S-2,,",
                ]
        assert second.changes.deleted == 1


async def test_columns_that_are_volatile_do_not_make_a_change(running: Exporter) -> None:
    tenant = await tenant_with(running)
    found = running.client[f"catalogue_{tenant}"]["products"]
    for form, options in (
        ("csv", {"include_fields": COLUMNS}),
        ("csv", {"columns": ["id", {"field": "sku", "header": "Article"}, "price"]}),
        ("json", {}),
        ("json", {"include_fields": COLUMNS}),
    ):
        asked = {**options, "volatile_fields": ["price"]}
        first = await running.completed(tenant, form, {**asked, "manifest": True})
        await found.update_many({}, {"$inc": {"price": 1}})
        await found.update_one({"_id": "p0000004"}, {"$set": {"sku": uuid.uuid4().hex}})
        second = await running.completed(tenant, form, {**asked, "changes_since": first.id})
        assert (second.changes.changed, second.changes.unchanged) == (1, 5), (form, options)


async def test_columns_of_the_request_can_show_the_key(running: Exporter) -> None:
    tenant = await tenant_with(running)
    columns = [{"field": "name", "header": "name", "case": "upper"}, {"field": "sku", "header": "Article"}]
    options = {"columns": columns, "key": ["sku"], "escape_formulas": True}
    first = await running.completed(tenant, "csv", {**options, "manifest": True})
    await changed_catalogue(running, tenant)
    second = await running.completed(tenant, "csv", {**options, "changes_since": first.id})
    assert [row for row in await lines(running, second) if row["_change"] == "deleted"] == [
        {"_change": "deleted", "name": "", "Article": "S-2"}
    ]


async def test_requests_that_cannot_work_are_refused(running: Exporter) -> None:
    tenant = await tenant_with(running)
    for options, said in (
        ({"manifest": True, "include_fields": ["sku"]}, "key has 'id', which is not a column"),
        ({"manifest": True, "columns": [{"field": "id", "header": "id", "case": "upper"}]}, "key has 'id'"),
        ({"manifest": True, "explode": "tags"}, "several rows"),
        ({"manifest": True, "key": ["sku", "sku"]}, "more than once"),
        ({"manifest": True, "key": ["sku"], "volatile_fields": ["sku"]}, "in key and in volatile_fields"),
        ({"deletions": "file"}, "ask for zip"),
    ):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request") as told:
            await running.create(tenant, "csv", options)
        assert said in told.message


async def test_a_job_that_cannot_be_compared_with_is_a_conflict(running: Exporter) -> None:
    tenant = await tenant_with(running)
    plain = await running.completed(tenant, "csv")
    kept = await running.completed(tenant, "csv", {"manifest": True})
    other = await tenant_with(running)
    theirs = await running.completed(other, "csv", {"manifest": True})
    for base, options, reason in (
        (str(uuid.uuid4()), {}, "baseline_missing"),
        (theirs.id, {}, "baseline_missing"),
        (plain.id, {}, "baseline_missing"),
        (kept.id, {"delimiter": ";"}, "baseline_differs"),
        (kept.id, {"exclude_fields": ["name"]}, "baseline_differs"),
    ):
        asked = {**options, "changes_since": base}
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, reason) as told:
            await running.create(tenant, "csv", asked)
        assert "manifest: true" in told.message
        full = await running.completed(tenant, "csv", {**asked, "on_missing_baseline": "full"})
        assert [warning.code for warning in full.warnings] == ["full_export"]
        assert (full.changes.base_job_id, full.changes.number, dict(full.records)) == ("", 0, {"products": 6})
        assert b"_change" not in await content(running, full)


async def test_columns_that_appear_later_cannot_be_compared(running: Exporter) -> None:
    tenant = await tenant_with(running)
    first = await running.completed(tenant, "csv", {"manifest": True})
    await running.client[f"catalogue_{tenant}"]["products"].update_one({}, {"$set": {"ean": "4"}})
    failed = await running.create(tenant, "csv", {"changes_since": first.id})
    failed = await running.until(failed, pb.JOB_STATE_FAILED)
    assert failed.error.code == "baseline_differs"
    full = await running.completed(tenant, "csv", {"changes_since": first.id, "on_missing_baseline": "full"})
    assert [warning.code for warning in full.warnings] == ["full_export"]
    assert len(await lines(running, full)) == 6
    following = await running.completed(tenant, "csv", {"changes_since": full.id})
    assert (following.changes.number, following.changes.unchanged) == (1, 6)


async def test_a_column_of_the_catalogue_cannot_be_taken_for_the_change(running: Exporter) -> None:
    tenant = await tenant_with(running)
    await running.client[f"catalogue_{tenant}"]["products"].update_one({}, {"$set": {"_change": "mine"}})
    first = await running.completed(tenant, "csv", {"manifest": True})
    failed = await running.create(tenant, "csv", {"changes_since": first.id})
    failed = await running.until(failed, pb.JOB_STATE_FAILED)
    assert failed.error.code == "change_column_taken"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"sku": "S-1"}, "repeated_key", "'S-1'"),
        ({"sku": None}, "unusable_key", "'p0000004' has no usable value in 'sku'"),
    ],
)
async def test_keys_must_be_there_and_different(
    running: Exporter, change: dict[str, Any], code: str, said: str
) -> None:
    tenant = await tenant_with(running)
    first = await running.completed(tenant, "csv", {"manifest": True, "key": ["sku"]})
    await running.client[f"catalogue_{tenant}"]["products"].update_one({"_id": "p0000004"}, {"$set": change})
    for options in ({"manifest": True}, {"changes_since": first.id}):
        failed = await running.until(
            await running.create(tenant, "csv", {**options, "key": ["sku"]}), pb.JOB_STATE_FAILED
        )
        assert failed.error.code == code
        assert said in failed.error.message


async def test_a_file_without_changes_can_go_to_no_platform(running: Exporter) -> None:
    tenant = await tenant_with(running)
    first = await running.completed(tenant, "csv", {"manifest": True})
    platforms = [str(uuid.uuid4())]
    asked = {"changes_since": first.id, "empty": "skip", "platform_ids": platforms}

    async def selected(job: pb.Job) -> list[str]:
        request = pb.GetJobFileRequest(tenant=tenant, job_id=job.id)
        return list((await running.stub.GetJobFile(request)).file.job.platforms.platform_ids)

    assert await selected(await running.completed(tenant, "csv", asked)) == []
    assert await selected(await running.completed(tenant, "csv", {**asked, "empty": "deliver"})) == platforms
    await running.client[f"catalogue_{tenant}"]["products"].delete_one({})
    assert await selected(await running.completed(tenant, "csv", asked)) == platforms


async def test_lost_rows_are_listed_by_their_keys(running: Exporter) -> None:
    tenant = await tenant_with(running)
    options = {"manifest": True, "key": ["sku", "id"]}
    first = await running.completed(tenant, "csv", options)
    await changed_catalogue(running, tenant)
    second = await running.completed(tenant, "csv", options)

    async def lost(job: pb.Job, base: pb.Job = first, **more: int) -> pb.ListLostRowsResponse:
        request = pb.ListLostRowsRequest(tenant=tenant, base_job_id=base.id, job_id=job.id, **more)
        return await running.stub.ListLostRows(request)

    assert (await lost(second)) == pb.ListLostRowsResponse(lost_rows=1, keys=["S-2, p0000002"])
    assert (await lost(first, second)) == pb.ListLostRowsResponse(lost_rows=1, keys=["S-new, new"])
    await running.client[f"catalogue_{tenant}"]["products"].delete_many({})
    await running.fill(tenant, [{"_id": "last", "sku": "last"}])
    third = await running.completed(tenant, "csv", options)
    found = await lost(third, max_keys=2)
    assert (found.lost_rows, len(found.keys)) == (6, 2)
    for others, reason in (({}, "manifest_missing"), ({"manifest": True}, "manifests_differ")):
        other = await running.completed(tenant, "csv", others)
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, reason):
            await lost(other)


async def test_a_manifest_is_deleted_with_its_job(running: Exporter) -> None:
    tenant = await tenant_with(running)
    job = await running.completed(tenant, "csv", {"manifest": True})
    names = [Path(name).suffix for name in running.files()]
    assert sorted(names) == [".csv", ".keys", ".records"]
    await running.delete(job)
    assert running.files() == []
