"""Files with changes, applied one after the other to the first full file, give the last full export, row for row.

Random histories: products are inserted, changed and deleted, and leave the filter; files are lost on their way to the
receiver; workers die at any call of the artifact store, and another one makes the file again.
"""

import csv
import io
import json
import os
import random
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from services.chassis import mongo
from services.chassis.blobs.contract import BlobWriter
from services.chassis.blobs.local import LocalStore
from services.chassis.mongo import Database, Document
from services.exporter.catalogue.column_store import ColumnStore
from services.exporter.export.attempt import Progress
from services.exporter.export.file_maker import FileMaker
from services.exporter.formats import formats
from services.exporter.jobs.job import FinishedFile, Job, JobState

FORMATS: dict[str, dict[str, Any]] = {
    "csv": {"include_fields": ["sku", "id", "name", "n"]},
    "json": {"json_lines": True},
}
FILTERS = {"filters": {"is_active": True}}
HISTORIES = int(os.environ.get("HISTORIES", "400"))
"""Of the full tests. A thousand take six minutes of a core."""
NAMES = ["plain", "=1+1", 'say "hi", twice', "two\r\nlines", "", "é|ü", None, 1, 1.0]


class Killed(BaseException):
    """The worker's process ends here."""


class DyingStore(LocalStore):
    """A store whose writers end the process at a chosen call, after which nothing is cleaned up."""

    calls_left = -1

    def writer(self, key: str, *, media_type: str) -> Any:
        return _DyingWriter(self, super().writer(key, media_type=media_type))

    def take_call(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0:
            raise Killed


@dataclass
class _DyingWriter:
    store: DyingStore
    inner: BlobWriter
    is_dead: bool = False

    def write(self, data: bytes) -> None:
        self._call(lambda: self.inner.write(data))

    def commit(self) -> None:
        self._call(self.inner.commit)

    def abort(self) -> None:
        if self.store.calls_left != 0:
            self.inner.abort()

    def _call(self, made: Any) -> None:
        self.store.take_call()
        made()


@dataclass
class Exports:
    """A worker's part of one tenant's exports, without the queue."""

    maker: FileMaker
    blobs: DyingStore
    folder: Path
    tenant: str
    jobs: dict[str, Job]
    kills: int = 0

    async def make(self, form: str, options: dict[str, Any], dice: random.Random | None = None) -> Job:
        """A completed export; with dice, a worker may die first."""
        at = datetime.now(UTC)
        job = Job(str(uuid.uuid4()), self.tenant, form, json.dumps(options), "", JobState.RUNNING, at, at, fence=1)
        if dice is not None and dice.random() < 0.3:
            self.blobs.calls_left = dice.randint(1, 8)
            try:
                await self._attempt(job)
            except Killed:
                self.kills += 1
                job = replace(job, fence=2)
            self.blobs.calls_left = -1
        made = await self._attempt(job)
        done = replace(
            job, state=JobState.COMPLETED, artifact=made.artifact, manifest=made.manifest, changes=made.changes
        )
        self.jobs[job.id] = done
        return done

    async def _attempt(self, job: Job) -> FinishedFile:
        return await self.maker.make(job, Progress(), threading.Event())

    def rows(self, job: Job) -> list[dict[str, Any]]:
        assert job.artifact is not None
        text = (self.folder / job.artifact.key).read_bytes().decode("utf-8-sig")
        if job.format == "json":
            # In Python, 1 and 1.0 are equal.
            return [json.loads(line, parse_float="float {}".format) for line in text.splitlines()]
        return list(csv.DictReader(io.StringIO(text, newline="")))


class Receiver:
    """Keeps what it has received, by key."""

    def __init__(self, key: list[str]) -> None:
        self._key = key
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.last: Job | None = None

    def take(self, exports: Exports, job: Job) -> None:
        """Apply a file."""
        rows = exports.rows(job)
        if job.changes is None or not job.changes.base_job_id:
            self.rows = {self._of(row): row for row in rows}
        else:
            assert self.last is not None and self.last.artifact is not None
            before = self.last.changes.number if self.last.changes is not None else 0
            assert job.changes.base_job_id == self.last.id
            assert job.changes.base_sha256 == self.last.artifact.sha256
            assert job.changes.number == before + 1
            self._apply(rows, job)
        self.last = job

    def _apply(self, rows: list[dict[str, Any]], job: Job) -> None:
        counts = dict.fromkeys(("added", "changed", "deleted"), 0)
        for row in rows:
            what = row.pop("_change")
            counts[what] += 1
            assert (self._of(row) in self.rows) == (what != "added")
            if what == "deleted":
                del self.rows[self._of(row)]
            else:
                assert row != self.rows.get(self._of(row))
                self.rows[self._of(row)] = row
        assert job.changes is not None
        assert counts == {name: getattr(job.changes, name) for name in counts}
        assert job.changes.unchanged == len(self.rows) - counts["added"] - counts["changed"]

    def _of(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._key)


def live_through(dice: random.Random, products: Any, known: dict[str, dict[str, Any]]) -> None:
    """Some changes of the catalogue."""
    for _ in range(dice.randint(0, 6)):
        kind = dice.choice(["insert", "change", "delete", "leave or come back"])
        if kind == "insert" or not known:
            name = uuid.UUID(int=dice.getrandbits(128)).hex
            new = {"_id": name, "sku": dice.getrandbits(60), "is_active": True}
            known[name] = new | {"name": dice.choice(NAMES), "n": dice.randint(0, 3)}
            products.insert_one(known[name])
            continue
        chosen = dice.choice(sorted(known))
        if kind == "delete":
            products.delete_one({"_id": chosen})
            del known[chosen]
            continue
        field = {"name": dice.choice(NAMES), "n": dice.randint(0, 3)}
        if kind != "change":
            field = {"is_active": not known[chosen]["is_active"]}
        known[chosen] |= field
        products.update_one({"_id": chosen}, {"$set": field})


@pytest.fixture
def catalogues(mongo_uri: str) -> Iterator[MongoClient[Document]]:
    client = mongo.connect_sync(mongo_uri, app="tests")
    yield client
    client.close()


async def history(seed: int, database: Database, catalogues: MongoClient[Document], folder: Path) -> int:
    """One history; returns how many workers died. Fails if the receiver ends with other rows than a full export has."""
    dice = random.Random(seed)
    blobs, jobs = DyingStore(folder), dict[str, Job]()

    async def find_job(_: str, job_id: str) -> Job | None:
        return jobs.get(job_id)

    maker = FileMaker(
        formats(),
        catalogues,
        blobs,
        ColumnStore(database),
        max_columns=1_000,
        escape_formulas=False,
        keep_seconds=60,
        keep_manifest_seconds=60,
        find_job=find_job,
    )
    exports = Exports(maker, blobs, folder, f"history_{seed}_{uuid.uuid4().hex[:6]}", jobs)
    form = dice.choice(sorted(FORMATS))
    key = dice.choice([["id"], ["sku"], ["sku", "id"]])
    options = {**FORMATS[form], **FILTERS, "key": key}
    products, known = catalogues[f"catalogue_{exports.tenant}"]["products"], dict[str, dict[str, Any]]()
    try:
        first = {"_id": "0", "sku": 0, "is_active": True, "name": "first", "n": 0}
        known["0"] = first
        products.insert_one(first)
        live_through(dice, products, known)
        receiver = Receiver(key)
        receiver.take(exports, await exports.make(form, {**options, "manifest": True}, dice))
        for _ in range(dice.randint(1, 6)):
            live_through(dice, products, known)
            assert receiver.last is not None
            base = {"changes_since": receiver.last.id, "on_missing_baseline": "full"}
            job = await exports.make(form, {**options, **base}, dice)
            if dice.random() < 0.7:  # else it is lost, and the next file has the same base
                receiver.take(exports, job)
        assert receiver.last is not None
        job = await exports.make(form, {**options, "changes_since": receiver.last.id, "on_missing_baseline": "full"})
        receiver.take(exports, job)
        full = {Receiver(key)._of(row): row for row in exports.rows(await exports.make(form, options))}
        assert receiver.rows == full, f"seed {seed}"
        return exports.kills
    finally:
        catalogues.drop_database(f"catalogue_{exports.tenant}")


async def test_changes_applied_in_order_give_the_last_full_export(
    database: Database, catalogues: MongoClient[Document], tmp_path: Path
) -> None:
    kills = [await history(seed, database, catalogues, tmp_path / str(seed)) for seed in range(12)]
    assert sum(kills) > 0


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1_000, 1_000 + HISTORIES, 100))
async def test_changes_applied_in_order_give_the_last_full_export_in_many_histories(
    database: Database, catalogues: MongoClient[Document], tmp_path: Path, first: int
) -> None:
    for seed in range(first, first + 100):
        await history(seed, database, catalogues, tmp_path / str(seed))
