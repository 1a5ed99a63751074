"""Services in the test's own event loop, against the real servers of tests/conftest.py."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis import mongo
from services.exporter.job_store import JobStore
from tests.integration.exporting import Exporter, exporter


@pytest.fixture
async def clean_uri(mongo_uri: str) -> str:
    """A MongoDB without jobs of an earlier test, which an exporter would go on with."""
    client = mongo.connect(mongo_uri, app="tests")
    await client.drop_database("exporter")
    client.close()
    return mongo_uri


@pytest.fixture
async def running(clean_uri: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Exporter]:
    """An exporter with a worker."""
    async with exporter(clean_uri, nats_url, tmp_path) as started:
        yield started


@pytest.fixture
async def idle(clean_uri: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Exporter]:
    """An exporter that accepts jobs and works on none."""
    async with exporter(clean_uri, nats_url, tmp_path, worker_jobs=0) as started:
        yield started


@pytest.fixture
async def database(mongo_uri: str) -> AsyncIterator[mongo.Database]:
    """An empty database of its own for a test, away from any exporter's."""
    client = mongo.connect(mongo_uri, app="tests")
    await client.drop_database("store_tests")
    yield client["store_tests"]
    client.close()


@pytest.fixture
async def store(database: mongo.Database) -> JobStore:
    """Jobs in that database."""
    jobs = JobStore(database)
    await jobs.prepare()
    return jobs
