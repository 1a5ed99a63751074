"""Services in the test's own event loop, against the real servers of tests/conftest.py."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.chassis import mongo
from services.exporter.jobs.store import JobStore
from tests.certificates import Authority, Mount
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.chassis.certified import Services
from tests.integration.delivering import OpenShop, Shop, deliverer
from tests.integration.exporting import Exporter, exporter, new_tenant, products
from tests.integration.scheduling import Scheduler, scheduler


@pytest.fixture
async def clean_uri(mongo_uri: str) -> str:
    """A MongoDB without jobs of an earlier test, which an exporter would go on with."""
    client = mongo.connect(mongo_uri, app="tests")
    await client.drop_database("exporter")
    await client.drop_database("delivery")
    await client.drop_database("scheduler")
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


@pytest.fixture(scope="session")
def sftp_server() -> Iterator[SftpRig]:
    """An SFTP server for deliveries."""
    rig = SftpRig()
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
async def open_shop(clean_uri: str, nats_url: str, running: Exporter, sftp_server: SftpRig) -> OpenShop:
    """Opens a shop of a new tenant with so many products, and a delivery service with the settings given."""
    sftp_server.clear()

    @asynccontextmanager
    async def opened(rows: int = 100, **settings: Any) -> AsyncIterator[Shop]:
        tenant = new_tenant()
        await running.fill(tenant, products(rows))
        async with deliverer(clean_uri, nats_url, running, **settings) as started:
            yield Shop(tenant, running, started, sftp_server)

    return opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[Shop]:
    """A shop of a tenant of its own, with the usual settings."""
    async with open_shop() as opened:
        yield opened


@pytest.fixture
async def scheduling(clean_uri: str, nats_url: str, running: Exporter) -> AsyncIterator[Scheduler]:
    """A scheduler beside an exporter with a worker, and a tenant with a small catalogue."""
    tenant = new_tenant()
    await running.fill(tenant, products(10))
    async with scheduler(clean_uri, nats_url, running.running.rpc_port, tenant) as started:
        yield started


@pytest.fixture
async def undone(clean_uri: str, nats_url: str, idle: Exporter) -> AsyncIterator[Scheduler]:
    """A scheduler beside an exporter that works on no job: each goes on until it is cancelled."""
    tenant = new_tenant()
    await idle.fill(tenant, products(10))
    async with scheduler(clean_uri, nats_url, idle.running.rpc_port, tenant) as started:
        yield started


@pytest.fixture
def authority() -> Authority:
    """A CA."""
    return Authority()


@pytest.fixture
def services(clean_uri: str, nats_url: str, tmp_path: Path, authority: Authority) -> Services:
    """What builds services that use certificates of the CA."""
    mount = Mount(tmp_path / "tls")
    mount.write(authority.issue(), authority.pem)
    return Services(clean_uri, nats_url, tmp_path, mount)
