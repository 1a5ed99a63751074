"""One cluster of containers for all these tests; `make e2e-containers` builds its images first."""

import logging
from collections.abc import Iterator

import pytest

from deploy.containers.cluster import Cluster
from deploy.local.demo.products.catalogue import PRODUCTS, SUPPLIERS, Catalogue, made
from deploy.local.demo.products.filling import fill
from deploy.local.demo.receivers.s3_server import S3Server, s3_server
from deploy.local.servers import free_port
from tests.containers.patient import Patient

log = logging.getLogger(__name__)

TENANT = "demo"
KEY = ("python", "-m", "services.gateway.auth.keys", "create", "--scopes", "*", "--quiet")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Every workload of overlays/local, ready; their logs are kept with pytest's temporary folders."""
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # the demo's SFTP server tells of every packet
    with Cluster(tmp_path_factory.mktemp("cluster"), free_port(), log.info) as started:
        yield started


@pytest.fixture(scope="session")
def catalogue(cluster: Cluster) -> Catalogue:
    """The demo's, loaded."""
    products = made(PRODUCTS, SUPPLIERS)
    fill(cluster.mongodb_uri, TENANT, products)
    return products


@pytest.fixture(scope="session")
def key(cluster: Cluster) -> str:
    """An API key, made by the gateway's own command in its container."""
    return cluster.run("gateway", *KEY, "--tenant", TENANT)


@pytest.fixture
def patient(cluster: Cluster, key: str) -> Patient:
    return Patient(cluster.url, key)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A destination on this machine, where the overlay's EGRESS_ALLOW lets deliveries go."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
