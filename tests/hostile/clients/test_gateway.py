"""One client must not stop the gateway for the others: expensive bodies, invented keys, slow senders, downloads."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from services.gateway.auth.api_keys import new_secret
from tests.gateways import Gateway, gateway
from tests.problems import problem
from tests.rest import Rest
from tests.system import System, eventually
from tests.waiting import DEADLINE

TIMEOUT = 1
ATTEMPTS = 5
PER_KEY, DOWNLOADS = 2, 3
MAX_PAUSE, TRIES = 1.0, 3
"""Seconds that /healthz may take meanwhile. The machine may be busy, so it fails only if it takes longer every time."""


@pytest.fixture(scope="module")
def strict(system: System) -> Iterator[Gateway]:
    limits = {
        "ATTEMPT_LIMIT": ATTEMPTS,
        "BODY_TIMEOUT": TIMEOUT,
        "KEEPALIVE_TIMEOUT": TIMEOUT,
        "MAX_DOWNLOADS": DOWNLOADS,
        "MAX_DOWNLOADS_PER_KEY": PER_KEY,
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    with gateway(system, "gateway-strict", **{name: str(value) for name, value in limits.items()}) as front:
        yield front


@pytest.fixture(scope="module")
def shop(system: System, strict: Gateway) -> Rest:
    system.fill("hostile", [{"_id": n, "text": "x" * 5_000_000} for n in range(8)])
    return strict.client(system.key("hostile"))


@contextlib.contextmanager
def watched(front: Gateway) -> Iterator[list[float]]:
    """Seconds of each request to /healthz, one after the other, meanwhile."""
    seconds: list[float] = []
    done = threading.Event()

    def watch() -> None:
        client = front.client("")
        while not done.is_set():
            started = time.monotonic()
            assert client.call("GET", f"{front.url}/healthz").status == 200
            seconds.append(time.monotonic() - started)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield seconds
        finally:
            done.set()
            watching.result()


def members(count: int) -> bytes:
    """An object that repeats its last key."""
    return ("{" + ",".join([f'"k{min(n, count - 1)}":0' for n in range(count + 1)]) + "}").encode()


@pytest.mark.parametrize(
    "raw", [members(12_000), members(80_000), b'{"a":[' + b"[]," * 349_000 + b"[]]}", b"[" * 1_000_000]
)
def test_no_body_stops_the_gateway(strict: Gateway, shop: Rest, raw: bytes) -> None:
    for _ in range(TRIES):
        with watched(strict) as seconds:
            problem(shop.call("POST", "/exports/csv/products", raw=raw), 422, "invalid_request", field="body")
        if max(seconds) < MAX_PAUSE:
            return
    pytest.fail(f"/healthz took {max(seconds):.1f} s")


def test_a_response_lists_at_most_twenty_errors(shop: Rest) -> None:
    answer = shop.export("csv", {f"unknown-{n}-{'x' * 200}": n for n in range(1_000)})
    found = problem(answer, 422, "invalid_request", field=f"unknown-0-{'x' * 200}"[:200])
    assert len(found["errors"]) <= 20
    assert len(answer.body) < 30_000


def connection(front: Gateway) -> socket.socket:
    parts = urlsplit(front.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def test_a_client_that_sends_its_headers_slowly_is_disconnected(strict: Gateway) -> None:
    with connection(strict) as slow:
        slow.sendall(b"GET /api/v1/exports/jobs HTTP/1.1\r\nHost: x\r\n")
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < DEADLINE:
                slow.sendall(b"X-Slow: 1\r\n")
                slow.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    assert slow.recv(1_000) == b""
                    break
        assert time.monotonic() - started < DEADLINE


def test_a_client_that_sends_its_body_slowly_is_rejected(strict: Gateway, shop: Rest) -> None:
    with connection(strict) as slow:
        head = "POST /api/v1/exports/csv/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Authorization: Bearer {shop.key}\r\nContent-Length: 100\r\n\r\n{{".encode())
        response = http.client.HTTPResponse(slow)
        response.begin()
        assert response.status == 408
        assert json.loads(response.read())["code"] == "request_timeout"


def test_an_address_that_invents_keys_is_limited_and_its_neighbours_are_not(strict: Gateway, shop: Rest) -> None:
    def invent(address: str) -> int:
        headers = {"X-Forwarded-For": address, "Authorization": f"Bearer {new_secret()}"}
        return strict.client("").call("GET", "/exports/jobs", headers=headers).status

    def known() -> int:
        return shop.call("GET", "/exports/jobs", headers={"X-Forwarded-For": "203.0.113.5"}).status

    assert known() == 200  # keys that the gateway has seen are not locked out
    codes = [invent("203.0.113.5") for _ in range(ATTEMPTS * 4)]
    assert codes == [401] * ATTEMPTS + [429] * ATTEMPTS * 3
    assert invent("203.0.113.6") == 401
    assert known() == 200


@contextlib.contextmanager
def downloading(front: Gateway, path: str, key: str) -> Iterator[http.client.HTTPResponse]:
    """The response to a download, its body unread."""
    client = http.client.HTTPConnection(urlsplit(front.url).netloc, timeout=20)
    client.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {key}"})
    with client.getresponse() as response:
        try:
            yield response
        finally:
            client.close()


def test_downloads_are_limited_per_key_and_per_process(system: System, strict: Gateway, shop: Rest) -> None:
    job, file = shop.file("csv")
    path, other = f"/exports/jobs/{job['id']}/download", strict.client(system.key("hostile"))
    other.job(job["id"])
    with contextlib.ExitStack() as stack:
        for _ in range(PER_KEY):
            assert stack.enter_context(downloading(strict, path, shop.key)).status == 200
        rejected = shop.call("GET", path)
        problem(rejected, 429, "too_many_downloads", words=f"{PER_KEY} downloads")
        assert int(rejected.headers["retry-after"]) >= 1
        problem(strict.client("").call("GET", job["file_url"]), 429, "too_many_downloads")
        assert stack.enter_context(downloading(strict, path, other.key)).status == 200
        busy = other.call("GET", path)
        problem(busy, 503, "downloads_busy")
        assert int(busy.headers["retry-after"]) >= 1
        assert shop.call("HEAD", path).status == 200
        assert len(file) > 30_000_000, "large enough to be still under way"
    eventually("the slots are free", lambda: shop.call("GET", path).body == file)
