"""A system of its own for every fault, so that what one breaks no other sees."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import System, running


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Short leases and pauses, so that the tests need not wait long; the rules are the same."""
    with running(tmp_path, LEASE_SECONDS="3", DISPATCH_SECONDS="4", RETRY_SECONDS="0.5") as started:
        yield started
