"""MONGODB_URI and NATS_URL of servers that cannot be used: the message names the setting and the reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.processes.children import NotReady
from deploy.local.servers import HOST, Mongod, NatsServer, free_port, given, mongod_program, nats_program
from deploy.local.servers.given import check_mongodb, check_nats
from deploy.local.stack import Stack
from deploy.local.state import running
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


def test_a_replica_set_without_a_primary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "ANSWER_MS", 300)
    server = Mongod(tmp_path)
    server.launch()
    try:
        with pytest.raises(NotReady, match=r"MONGODB_URI: no primary answered within 0\.3 s"):
            check_mongodb(server.uri)
    finally:
        server.kill()


def test_the_stack_does_not_start_without_the_given_mongodb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "ANSWER_MS", 300)
    uri = f"mongodb://{HOST}:{free_port()}/?replicaSet=rs0"
    with pytest.raises(NotReady, match=r"^MONGODB_URI: no primary answered within 0\.3 s"):
        Stack(tmp_path, mongodb_uri=uri).start()
    assert running(tmp_path) is None


@pytest.mark.parametrize("uri", ["mongodb://", "mongodb://127.0.0.1:99999", "http://127.0.0.1/"])
def test_an_invalid_mongodb_address_is_refused(uri: str) -> None:
    with pytest.raises(NotReady, match=r"^MONGODB_URI: "):
        check_mongodb(uri)


def test_a_nats_without_jetstream_is_refused(plain_nats: NatsServer) -> None:
    with pytest.raises(NotReady, match=r"no NATS server with JetStream answers at .*--jetstream"):
        check_nats(plain_nats.url)


@pytest.mark.parametrize("url", [f"nats://{HOST}:1", "nats://127.0.0.1:99999", "nats://[::1"])
def test_an_address_without_a_nats_server_is_refused(url: str) -> None:
    with pytest.raises(NotReady, match=r"^NATS_URL: "):
        check_nats(url)


def test_working_servers_are_accepted(mongo_uri: str, nats_url: str) -> None:
    check_mongodb(mongo_uri)
    check_nats(nats_url)
    check_nats(nats_url.removeprefix("nats://"))
