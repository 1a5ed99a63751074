"""One system for the fault tests of a module; what a test leaves stopped is started again before the next one."""

from collections.abc import Iterator

import pytest

from tests.system import System, running


@pytest.fixture(scope="module")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Short leases and pauses, so that the tests need not wait long; the rules are the same."""
    folder = tmp_path_factory.mktemp("faults")
    with running(folder, JOB_LEASE_SECONDS="3", DISPATCH_SECONDS="4", JOB_RETRY_SECONDS="0.5") as started:
        yield started


@pytest.fixture
def system(shared_system: System) -> System:
    """The module's system with everything running and ready."""
    shared_system.start()
    return shared_system
