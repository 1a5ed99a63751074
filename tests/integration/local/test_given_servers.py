"""MONGODB_URI and NATS_URL that point at something an export cannot work with: which one, and what it lacks."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.children import NotReady
from deploy.local.running_servers import check_mongodb, check_nats
from deploy.local.servers import HOST, Mongod, NatsServer, free_port, mongod_program, nats_program
from tests.integration.local.local_commands import ran
from tests.system import eventually


@pytest.fixture
def lone_mongod(tmp_path: Path) -> Iterator[Mongod]:
    """A mongod that is no member of a replica set."""
    server = Mongod(tmp_path)
    server.spawn(
        [mongod_program(), "--dbpath", tmp_path, "--port", str(server.port), "--bind_ip", HOST, "--nounixsocket"]
    )
    yield server
    server.kill()


@pytest.fixture
def plain_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server without JetStream."""
    server = NatsServer(tmp_path)
    server.spawn([nats_program(), "--addr", HOST, "--port", str(server.port)])
    eventually("it listens", lambda: "Server is ready" in server.log.read_text())
    yield server
    server.kill()


def test_a_mongodb_without_a_replica_set_is_refused(lone_mongod: Mongod) -> None:
    with pytest.raises(NotReady, match=r"not a replica set.*--replSet rs0"):
        check_mongodb(f"mongodb://{HOST}:{lone_mongod.port}/")


def test_a_replica_set_without_a_primary_is_refused(tmp_path: Path) -> None:
    server = Mongod(tmp_path)
    server.launch()
    try:
        with pytest.raises(NotReady, match="MONGODB_URI: no primary answered within 5 s"):
            check_mongodb(server.uri)
    finally:
        server.kill()


def test_an_address_where_no_mongodb_is_ends_the_start(tmp_path: Path) -> None:
    uri = f"mongodb://{HOST}:{free_port()}/?replicaSet=rs0"
    started = time.monotonic()
    ended = ran("deploy.local", "up", LOCAL_DIR=str(tmp_path), GATEWAY_PORT="0", MONGODB_URI=uri)
    assert ended.returncode == 1
    assert ended.stderr.startswith("MONGODB_URI: no primary answered within 5 s")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("uri", ["mongodb://", "mongodb://127.0.0.1:99999", "http://127.0.0.1/"])
def test_what_is_no_mongodb_address_is_refused_in_words(uri: str) -> None:
    with pytest.raises(NotReady, match=r"^MONGODB_URI: "):
        check_mongodb(uri)


def test_a_nats_without_jetstream_is_refused(plain_nats: NatsServer) -> None:
    with pytest.raises(NotReady, match=r"no NATS server with JetStream answers at .*--jetstream"):
        check_nats(plain_nats.url)


@pytest.mark.parametrize("url", [f"nats://{HOST}:1", "nats://127.0.0.1:99999", "nats://[::1"])
def test_an_address_where_no_nats_is_is_refused(url: str) -> None:
    with pytest.raises(NotReady, match=r"^NATS_URL: "):
        check_nats(url)


def test_working_servers_are_accepted(mongo_uri: str, nats_url: str) -> None:
    check_mongodb(mongo_uri)
    check_nats(nats_url)
    check_nats(nats_url.removeprefix("nats://"))
