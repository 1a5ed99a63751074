"""What hostile clients and destinations do keeps every process below its memory limit of deploy/k8s."""

import contextlib
import http.client
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.local.servers import free_port
from services.gateway.auth.api_keys import new_secret
from tests.gateways import Gateway, gateway
from tests.rest import Rest
from tests.system import ROOT, Process, System, eventually

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

MIB = 1024 * 1024
UNITS = {"Ki": 1024, "Mi": MIB, "Gi": 1024 * MIB}
LARGE = {"platform_ids": [], "exclude_fields": [f"{n:04}{'x' * 1_000}" for n in range(250)]}
"""Options of almost 256 KiB."""


def limits() -> dict[str, int]:
    """Memory limits in bytes, by service."""
    found = {}
    for path in sorted((ROOT / "deploy" / "k8s" / "base").glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if not isinstance(manifest, dict) or manifest["kind"] != "Deployment":
                continue
            for container in manifest["spec"]["template"]["spec"].get("containers", []):  # patches have none
                text = container["resources"]["limits"]["memory"]
                found[manifest["metadata"]["name"]] = int(text[:-2]) * UNITS[text[-2:]]
    return found


class Stack:
    """The system as its five deployments, and a gateway with default limits behind a trusted proxy."""

    def __init__(self, system: System, worker: Process, front: Gateway) -> None:
        self.system, self.front = system, front
        self.processes = {
            "gateway": front.process,
            "exporter": system.exporter,
            "exporter-worker": worker,
            "delivery": system.delivery,
            "scheduler": system.scheduler,
        }

    @contextlib.contextmanager
    def within_limits(self) -> Iterator[None]:
        """Check the peak memory that each process needs meanwhile."""
        for process in self.processes.values():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets VmHWM
        yield
        peaks = {name: self._peak(process) for name, process in self.processes.items()}
        shown = {name: f"{peak // MIB} of {limits()[name] // MIB} MiB" for name, peak in peaks.items()}
        print(shown)  # noqa: T201
        assert {name for name, peak in peaks.items() if peak > limits()[name]} == set(), shown

    def _peak(self, process: Process) -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def client(self, tenant: str = "small") -> Rest:
        """A client with a new key; the files of the tenant `small` have 80 bytes, those of `large` 40 MB."""
        return self.front.client(self.system.key(tenant))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Process]]:
    """The system, and its worker."""
    system = System(tmp_path_factory.mktemp("memory"), with_scheduler=True)
    system.exporter = system.service("services.exporter", "exporter", GRPC_PORT=str(system.rpc_port), WORKER_JOBS="0")
    system.delivery = system.service("services.delivery", "delivery", GRPC_PORT=str(system.delivery_port))
    worker = system.service("services.exporter", "exporter-worker", GRPC_PORT=str(free_port()))
    try:
        system.start()
        worker.start()
        for tenant, size in (("small", 1), ("large", 5_000_000)):
            system.fill(tenant, [{"_id": n, "sku": f"SKU-{n}", "text": "x" * size} for n in range(8)])
        yield system, worker
    finally:
        worker.end()
        system.stop()


@pytest.fixture
def stack(deployed: tuple[System, Process]) -> Iterator[Stack]:
    """A new gateway for each test: memory that one test has used is not always given back."""
    system, worker = deployed
    with gateway(system, "gateway-public", RATE_LIMIT="100000", TRUSTED_PROXIES="127.0.0.1") as front:
        yield Stack(system, worker, front)


def concurrently(work: Callable[[int], object], count: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(count)):
            pass


def test_bodies_with_repeated_and_unknown_keys(stack: Stack) -> None:
    shop = stack.client()
    pairs = ",".join(f'"k{n}":0' for n in range(80_000))
    bodies = [f'{{{pairs},"k79999":0}}', "[" * MIB, '{"a":[' + "[]," * 340_000 + "[]]}", f'{{"a":"{"x" * 1_000_000}"}}']
    with stack.within_limits():

        def post(number: int) -> None:
            raw = bodies[number % len(bodies)].encode()
            path = ("/exports/csv/products", "/exports/platforms", "/exports/schedules/preview")[number % 3]
            assert shop.call("POST", path, raw=raw).status == 422

        concurrently(post, 200, threads=16)


def test_bodies_that_are_sent_slowly(stack: Stack) -> None:
    """Each client sends all of a large body but its last byte, and waits."""
    shop, parts = stack.client(), urlsplit(stack.front.url)
    size = MIB - 1
    head = f"POST /api/v1/exports/platforms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shop.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    with stack.within_limits(), contextlib.ExitStack() as opened:
        for _ in range(600):
            slow = opened.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30))
            slow.sendall(head.encode())
            slow.settimeout(0.2)
            with contextlib.suppress(ConnectionError, TimeoutError):  # the gateway does not read it
                slow.sendall(b"x" * (size - 1))
        assert shop.call("GET", "/exports/jobs").status == 200


def test_lists_of_jobs_with_large_options(stack: Stack) -> None:
    shop = stack.client()

    def create(number: int) -> None:
        assert shop.export("csv", LARGE).status == 202

    with stack.within_limits():
        concurrently(create, 240, threads=4)
        concurrently(lambda _: shop.call("GET", "/exports/jobs?limit=200").json, 24, threads=8)
        eventually("no job is left", lambda: not shop.call("GET", "/exports/jobs?status=processing").json["items"])


def platform(shop: Rest, url: str, bucket: str = "exports", **more: Any) -> str:
    config = {"endpoint_url": url, "bucket": bucket, "access_key_id": "x", "secret_access_key": "y", "region": "x"}
    body = {"name": "Shop", "platform_type": "s3", "config": config, **more}
    made = shop.call("POST", "/exports/platforms", body)
    assert made.status == 201, made
    return str(made.json["id"])


def test_schedules_with_large_options_that_are_due_together(stack: Stack) -> None:
    shop = stack.client()
    target = platform(shop, "http://127.0.0.1:1")
    options = {name: value for name, value in LARGE.items() if name != "platform_ids"}
    body = {"platform_id": target, "schedule_name": "Nightly", "cron_expression": "@yearly", "options": options}

    def create(number: int) -> None:
        made = shop.call("POST", "/exports/schedules", body)
        assert made.status == 201, made

    with stack.within_limits(), stack.system.mongo() as mongo:
        concurrently(create, 300, threads=4)
        schedules, runs = mongo["scheduler"]["schedules"], mongo["scheduler"]["runs"]
        year = datetime.now(UTC).year
        due = {"next_fire_at": datetime(year, 1, 1, tzinfo=UTC), "due_at": datetime(year, 1, 1, tzinfo=UTC)}
        schedules.update_many(
            {"tenant": "small"}, {"$set": {"planned_until": datetime(year - 1, 6, 1, tzinfo=UTC), **due}}
        )
        eventually("all runs are submitted", lambda: runs.count_documents({"state": {"$ne": "waiting"}}) == 300, 120)
        concurrently(lambda _: shop.call("GET", "/exports/schedules?limit=200").json, 24, threads=8)
    assert shop.call("PATCH", f"/exports/platforms/{target}", {"is_active": False}).status == 200


class HostileStorage(http.server.ThreadingHTTPServer):
    """An S3 server whose responses never end, or, in the bucket `pages`, whose lists never end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = 0


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileStorage

    def _answer(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.suppress(ConnectionError):  # the client has read enough
            if self.command == "PUT":
                self._send(b"", {"ETag": '"x"'})
            elif "/pages" in self.path:
                self._send(_page())
            else:
                self._send_forever()

    def _send(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send_forever(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(1_024):
            self.wfile.write(b"100000\r\n" + b"x" * MIB + b"\r\n")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815  named by http.server

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _page() -> bytes:
    """A page of a list of anything that has another page, with 7 MiB of entries."""
    entry = f"<Upload><Key>{'k' * 900}</Key><UploadId>u</UploadId></Upload>" + "<Part><PartNumber>1</PartNumber></Part>"
    more = (
        "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker><NextKeyMarker>k</NextKeyMarker>"
    )
    return f"<Result><UploadId>u</UploadId>{more}{entry * (7 * MIB // len(entry))}</Result>".encode()


@pytest.fixture
def storage() -> Iterator[HostileStorage]:
    with HostileStorage() as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield server
        server.shutdown()


def test_destinations_whose_responses_never_end(stack: Stack, storage: HostileStorage) -> None:
    shop = stack.client()
    url = f"http://127.0.0.1:{storage.server_address[1]}"
    targets = [platform(shop, url, bucket) for bucket in ("exports", "pages") for _ in range(6)]
    with stack.within_limits():
        concurrently(lambda n: shop.call("POST", f"/exports/platforms/{targets[n]}/test", timeout=90), len(targets), 12)
        job, _ = shop.file("csv", {"platform_ids": targets[4:8]})

        def attempts() -> int:
            items = shop.call("GET", f"/exports/jobs/{job['id']}/deliveries").json["items"]
            return sum(bool(item["attempts"]) and item["status"] != "sending" for item in items)

        eventually("every delivery was attempted", lambda: attempts() == 4, within=120)
    assert storage.requests > len(targets)
    for target in set(targets):
        shop.call("DELETE", f"/exports/platforms/{target}")


def test_downloads_that_stall(stack: Stack) -> None:
    shop = stack.client("large")
    job, file = shop.file("csv", {"platform_ids": []})
    keys = [stack.system.key("large") for _ in range(8)]
    statuses = []
    with stack.within_limits(), contextlib.ExitStack() as opened:
        for number in range(160):
            connection = http.client.HTTPConnection(urlsplit(stack.front.url).netloc, timeout=30)
            opened.callback(connection.close)
            headers = {"Authorization": f"Bearer {keys[number % len(keys)]}"}
            connection.request("GET", f"/api/v1/exports/jobs/{job['id']}/download", headers=headers)
            statuses.append(opened.enter_context(connection.getresponse()).status)
        assert len(file) > 30 * MIB
        assert statuses.count(200) == 128, "the default of MAX_DOWNLOADS"
        assert shop.call("GET", "/exports/jobs").status == 200


def test_invented_keys_from_many_addresses(stack: Stack) -> None:
    netloc = urlsplit(stack.front.url).netloc

    def invent(thread: int) -> set[int]:
        connection, statuses = http.client.HTTPConnection(netloc, timeout=30), set()
        for number in range(5_000):
            address = f"10.{thread}.{number // 250}.{number % 250}"
            headers = {"Authorization": f"Bearer {new_secret()}", "X-Forwarded-For": address}
            connection.request("GET", "/api/v1/exports/jobs", headers=headers)
            with connection.getresponse() as response:
                statuses.add(response.status)
                response.read()
        connection.close()
        return statuses

    with stack.within_limits(), ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(invent, range(4))) <= {401, 429}


def test_the_limits_are_those_of_all_services() -> None:
    assert set(limits()) == {"gateway", "exporter", "exporter-worker", "delivery", "scheduler"}
