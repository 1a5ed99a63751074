"""One running system for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.system import System, running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Every service, mongod and nats-server, shared; every test uses a tenant of its own.

    All of them, as users have them: the gateway's routes, its document and a job's answer are other ones without.
    """
    with running(tmp_path_factory.mktemp("system"), with_scheduler=True) as started:
        yield started
