"""The stand-in for the gateway's Service: new connections go to ready pods, open connections stay with their pod."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from deploy.containers.front import Front
from deploy.local.servers import free_port

PODS = ("127.0.0.2", "127.0.0.3")


class Echo:
    """A pod that echoes what it receives, preceded by its own address."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._listener = socket.create_server((address, port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while sent := connection.recv(4096):
                connection.sendall(f"{self._address} {sent.decode()};".encode())

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def front() -> Iterator[Front]:
    port = free_port()
    pods = [Echo(address, port) for address in PODS]
    started = Front(free_port(), port)
    started.start()
    yield started
    started.stop()
    for each in pods:
        each.stop()


def connect(front: Front) -> socket.socket:
    return socket.create_connection(("127.0.0.1", front.port), timeout=10)


def echo(connection: socket.socket, text: str) -> str:
    connection.sendall(text.encode())
    answer = b""
    while not answer.endswith(b";"):
        chunk = connection.recv(4096)
        assert chunk, "the connection was closed"
        answer += chunk
    return answer.decode()


def test_connections_are_distributed_among_the_pods(front: Front) -> None:
    front.send_to(PODS)
    with connect(front) as one, connect(front) as other:
        assert {echo(one, "a"), echo(other, "a")} == {f"{address} a;" for address in PODS}


def test_an_open_connection_stays_with_a_terminating_pod_and_new_ones_go_elsewhere(front: Front) -> None:
    front.send_to(PODS[:1])
    with connect(front) as old:
        assert echo(old, "a") == f"{PODS[0]} a;"
        front.send_to(PODS[1:])
        with connect(front) as new:
            assert echo(new, "b") == f"{PODS[1]} b;"
        assert echo(old, "c") == f"{PODS[0]} c;"


def test_both_directions_of_a_connection_can_be_closed_separately(front: Front) -> None:
    front.send_to(PODS[:1])
    with connect(front) as connection:
        connection.sendall(b"a")
        connection.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: connection.recv(4096), b"")) == f"{PODS[0]} a;".encode()


def test_without_a_pod_a_connection_is_closed(front: Front) -> None:
    with connect(front) as connection:
        assert connection.recv(1) == b""


def test_a_port_that_is_in_use_is_an_error(front: Front) -> None:
    with pytest.raises(OSError, match="taken"):
        Front(front.port, 1).start()
