"""The proxy does to connections what the tests of destinations rely on."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.tcp_proxy import TcpProxy

MIB = 1024 * 1024


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def proxy(echo: int) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", echo) as running:
        yield running


def connected(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def echoed(proxy: TcpProxy, data: bytes) -> bytes:
    """What comes back; the client closes the connection in the end."""

    def send(made: socket.socket) -> None:
        made.sendall(data)
        made.shutdown(socket.SHUT_WR)

    with connected(proxy) as made:
        sending = threading.Thread(target=send, args=[made])
        sending.start()
        received = b"".join(iter(lambda: made.recv(65536), b""))
        sending.join()
        return received


def test_bytes_pass_unchanged_in_both_directions_and_are_counted(proxy: TcpProxy) -> None:
    data = bytes(range(256)) * 4096 * 4
    assert echoed(proxy, data) == data
    assert (proxy.up, proxy.down, proxy.connections) == (len(data), len(data), 1)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_resets_the_connection_after_the_given_bytes_and_the_next_one_works(
    proxy: TcpProxy, direction: str
) -> None:
    proxy.cut_after(100_000, "up" if direction == "up" else "down")
    with connected(proxy) as made, pytest.raises(ConnectionError):
        while True:
            made.sendall(bytes(1000))
            made.recv(1000)
    assert (proxy.up if direction == "up" else proxy.down) == 100_000
    assert proxy.cuts == 1
    assert echoed(proxy, b"again") == b"again"


def test_a_stalled_connection_stays_open_and_silent_until_it_heals(proxy: TcpProxy) -> None:
    with connected(proxy) as made:
        made.sendall(b"before")
        assert made.recv(100) == b"before"
        proxy.stall_after(0)
        made.sendall(b"after")
        made.settimeout(0.3)
        with pytest.raises(TimeoutError):
            made.recv(100)
        proxy.heal()
        made.settimeout(10)
        assert made.recv(100) == b"after"


def test_refusing_resets_what_is_open_and_the_same_port_answers_again_when_healed(proxy: TcpProxy) -> None:
    port = proxy.port
    with connected(proxy) as made:
        made.sendall(b"x")
        assert made.recv(1) == b"x"
        proxy.refuse()
        with pytest.raises(ConnectionError):
            made.sendall(b"x")
            made.recv(1)
            made.sendall(b"x")
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.heal()
    assert proxy.port == port
    assert echoed(proxy, b"again") == b"again"


def test_a_server_that_is_gone_is_a_reset_and_no_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with TcpProxy("127.0.0.1", port) as proxy, pytest.raises(ConnectionError):
        connected(proxy).recv(1)
