"""A store that belongs to another deployment is not swept."""

import uuid
from pathlib import Path

import pytest

from services.chassis import mongo
from services.exporter.jobs.store_owner import MARKER, StoreOwner
from tests.blob_stores import opened
from tests.integration.exporting import eventually, exporter


async def test_a_store_belongs_to_the_deployment_that_marked_it(database: mongo.Database, tmp_path: Path) -> None:
    other = database.client["store_tests_other"]
    await database.client.drop_database("store_tests_other")
    async with opened((tmp_path / "store").as_uri()) as blobs:
        first, second = StoreOwner(database, blobs), StoreOwner(other, blobs)
        assert not await first.is_this_deployment(), "two deployments may mark a store at the same time"
        assert not await second.is_this_deployment()
        assert await first.is_this_deployment()
        assert await StoreOwner(database, blobs).is_this_deployment(), "another replica"
        assert not await second.is_this_deployment()
        await blobs.delete(MARKER)
        assert not await second.is_this_deployment()
        assert await second.is_this_deployment()
        assert not await first.is_this_deployment()
    await database.client.drop_database("store_tests_other")


async def test_files_of_another_deployment_are_not_swept(
    clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[bool] = []
    check = StoreOwner.is_this_deployment

    async def watched(owner: StoreOwner) -> bool:
        answers.append(await check(owner))
        return answers[-1]

    async def two_rounds(*, ours: bool) -> None:
        answers.clear()

        async def seen() -> bool:
            return answers[-2:] == [ours, ours]

        await eventually("two sweeps have checked the store", seen)

    monkeypatch.setattr(StoreOwner, "is_this_deployment", watched)
    async with exporter(clean_uri, nats_url, tmp_path, sweep_seconds=0.1) as running:
        await two_rounds(ours=True)
        marker = running.folder / MARKER
        own = marker.read_text()
        marker.write_text(f"{uuid.uuid4()}\n")
        await two_rounds(ours=False)
        file = running.folder / f"acme/{uuid.uuid4()}/1/export-1.csv"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"id\r\n")
        await two_rounds(ours=False)
        assert file.exists()
        marker.write_text(own)
        await two_rounds(ours=True)
        assert not file.exists(), "no job of this deployment needs it"
