"""Real servers for all tests, started once, where they keep their files, and the number of examples in property tests.

`make test` tries few examples, the same in every run; `HYPOTHESIS_PROFILE=thorough` tries many new ones.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.local.servers import Mongod, NatsServer

# The documents are large on purpose, and a busy machine must not fail a test.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("quick", _PATIENT, max_examples=40, derandomize=True)
settings.register_profile("thorough", _PATIENT, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

MEMORY = Path("/dev/shm")
FOLDERS = "catalog-exports-tests-"
ENOUGH_MEMORY = 12 * 1024**3
"""The files of all tests together have about 6 GiB; the processes need as much."""
_folder = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep all files in memory if there is enough: waiting for a disk is a fifth of the time of the tests."""
    if hasattr(config, "workerinput") or "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    for left in MEMORY.glob(f"{FOLDERS}*"):  # by runs that were killed
        if not Path("/proc", left.name.removeprefix(FOLDERS).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    if min(shutil.disk_usage(MEMORY).free, _available()) < ENOUGH_MEMORY:
        return
    config.stash[_folder] = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-", dir=MEMORY))
    os.environ["TMPDIR"] = tempfile.tempdir = str(config.stash[_folder])


def _available() -> int:
    """Bytes of memory that programs can get, files in memory included."""
    [line] = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the memory back."""
    if folder := config.stash.get(_folder, None):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is collected, half a gigabyte for as long as the process lives, out of all garbage collections."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A mongod, a replica set of one."""
    server = Mongod(tmp_path_factory.mktemp("mongod"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server with JetStream."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mongo_uri(mongod: Mongod) -> str:
    return mongod.uri


@pytest.fixture(scope="session")
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.url
