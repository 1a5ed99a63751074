"""One system for the tests of hostile clients."""

from collections.abc import Iterator

import pytest

from tests.system import System, running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("hostile-clients"), with_scheduler=True) as started:
        yield started
