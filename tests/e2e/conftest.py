"""One running system for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.e2e.audit_trail import assert_recorded, observed
from tests.e2e.contract import Contract, checked
from tests.rest import Rest
from tests.system import System, running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Every service, mongod and nats-server, shared; every test module uses tenants of its own.

    The scheduler is included because without it the gateway has fewer routes.
    """
    with running(tmp_path_factory.mktemp("system"), with_scheduler=True) as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def documented(system: System) -> Iterator[None]:
    """Every answer that a module gets is as the OpenAPI document says."""
    with checked(Contract(Rest(system.url, "").call("GET", "/openapi.json").json)):
        yield


@pytest.fixture(scope="module", autouse=True)
def audit_trail(system: System) -> Iterator[None]:
    """Every change that a module makes is in the audit log."""
    with observed() as answers:
        yield
    assert_recorded(system, answers)
