"""Services in the event loop of the tests, against the real servers of tests/conftest.py."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.chassis import mongo
from services.exporter.jobs.store import JobStore
from tests.certificates import Authority
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.chassis.certified import Services
from tests.integration.delivering import DeliveryFixture, OpenShop
from tests.integration.exporting import Exporter, new_tenant, products
from tests.integration.scheduling import Scheduler
from tests.integration.service_set import ServiceSet


@pytest.fixture(scope="module")
async def module_services(
    mongo_uri: str, nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServiceSet]:
    """The services that the tests of a module share."""
    services = ServiceSet(mongo_uri, nats_url, tmp_path_factory.mktemp("services"))
    await services.reset()
    yield services
    await services.reset()


@pytest.fixture
async def service_set(request: pytest.FixtureRequest, module_services: ServiceSet) -> ServiceSet:
    """The module's services; stopped first for a test that starts its own and therefore asks for `clean_uri`."""
    if "clean_uri" in request.fixturenames:
        await module_services.reset()
    return module_services


@pytest.fixture
def clean_uri(service_set: ServiceSet) -> str:
    """A MongoDB with empty databases, for tests that start services of their own."""
    return service_set.mongo_uri


@pytest.fixture
async def running(service_set: ServiceSet) -> Exporter:
    """An exporter with a worker."""
    return await service_set.exporter(with_worker=True)


@pytest.fixture
async def idle(service_set: ServiceSet) -> Exporter:
    """An exporter that accepts jobs and runs none."""
    return await service_set.exporter(with_worker=False)


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
async def open_shop(service_set: ServiceSet, running: Exporter, sftp_server: SftpRig) -> OpenShop:
    """Opens a shop of a new tenant with so many products, beside a delivery service with these settings."""
    await service_set.drop_live_deliveries()
    sftp_server.clear()

    @asynccontextmanager
    async def opened(rows: int = 100, **settings: Any) -> AsyncIterator[DeliveryFixture]:
        tenant = new_tenant()
        await running.fill(tenant, products(rows))
        async with service_set.deliverer(running, **settings) as started:
            yield DeliveryFixture(tenant, running, started, sftp_server)

    return opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[DeliveryFixture]:
    """A shop of a new tenant, with the usual settings."""
    async with open_shop() as opened:
        yield opened


@pytest.fixture
async def scheduling(service_set: ServiceSet) -> Scheduler:
    """A scheduler beside an exporter with a worker, and a tenant with a small catalogue."""
    return await service_set.scheduler(with_worker=True)


@pytest.fixture
async def undone(service_set: ServiceSet) -> Scheduler:
    """A scheduler beside an exporter that runs no job: each one stays live until it is cancelled."""
    return await service_set.scheduler(with_worker=False)


@pytest.fixture
def authority() -> Authority:
    """A CA."""
    return Authority()


@pytest.fixture
def services(clean_uri: str, nats_url: str, tmp_path: Path, authority: Authority) -> Services:
    """What builds services that use certificates of the CA."""
    return Services(clean_uri, nats_url, tmp_path, authority)
