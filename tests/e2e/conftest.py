"""One running system for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.system import System, running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Gateway, exporter, mongod and nats-server, shared; every test uses a tenant of its own."""
    with running(tmp_path_factory.mktemp("system")) as started:
        yield started
