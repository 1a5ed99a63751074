"""No bad request makes the gateway fail, hang, or answer with a code that docs/api.md does not list.

Two sources: schemathesis, which generates from the OpenAPI document what it allows and what it forbids, and a grammar
of our own, for what the document cannot describe.
"""

import contextlib
import http.client
import json
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core import NotSet

from tests.gateways import Gateway, gateway
from tests.hostile.clients.bad_requests import UNKNOWN, BadRequest, Grammar, Known
from tests.problems import TRACES
from tests.rest import Rest
from tests.system import ROOT, System

MAX_SECONDS = 1.0
TRIES = 3
"""A response is slow only if it is slow every time, because the machine may be busy."""
QUICK = 150
DOCUMENTED = set(re.findall(r"^\| 4\d\d \| (.*?) \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
CODES = {code for cell in DOCUMENTED for code in re.findall(r"`(\w+)`", cell)}


@dataclass
class Client:
    """Sends requests over one connection and checks the responses."""

    url: str
    key: str
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def check(self, request: BadRequest) -> None:
        """Send a request and check the response."""
        for _ in range(TRIES):
            started = time.monotonic()
            status, media_type, body = self._send(request)
            if (seconds := time.monotonic() - started) < MAX_SECONDS:
                break
        self.statuses[status] += 1
        shown = f"{request!s:.20000}\n{status} after {seconds:.2f} s: {body[:2_000]!r}"
        assert seconds < MAX_SECONDS, shown
        assert status < 500, shown
        assert not [trace for trace in TRACES if trace in body], shown
        if status >= 400 and request.method != "HEAD":
            if status in (400, 417) and media_type == "text/plain":  # not valid HTTP
                return
            assert media_type == "application/problem+json", shown
            code = json.loads(body)["code"]
            assert code in CODES, shown
            self.codes[code] += 1

    def _send(self, request: BadRequest) -> tuple[int, str, bytes]:
        try:
            return self._exchange(request)
        except (ConnectionError, http.client.HTTPException):  # the server closed the connection that was kept alive
            self._connection.close()
            return self._exchange(request)

    def _exchange(self, request: BadRequest) -> tuple[int, str, bytes]:
        headers = {"Host": "exports.test", "Authorization": f"Bearer {self.key}", **request.headers}
        if request.body is not None or request.method in ("POST", "PATCH", "PUT"):
            headers["Content-Length"] = str(len(request.body or b""))
        self._connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(request.body)
        with self._connection.getresponse() as response:
            media_type = response.headers.get_content_type()
            return response.status, media_type, response.read()


@pytest.fixture(scope="module")
def unlimited(system: System) -> Iterator[Gateway]:
    """A gateway without rate limits: a 429 would hide everything behind it."""
    with gateway(system, "gateway-unlimited", RATE_LIMIT="10000000", ATTEMPT_LIMIT="10000000") as front:
        yield front


@pytest.fixture(scope="module")
def shop(system: System, unlimited: Gateway) -> Rest:
    product = {"sku": "A", "price": 1.5, "stock": 3, "tags": ["a"], "attributes": {"color": "red"}, "active": True}
    system.fill("bad-requests", [{"_id": n, **product} for n in range(5)])
    return unlimited.client(system.key("bad-requests"))


@pytest.fixture(scope="module")
def known(shop: Rest) -> Known:
    """A job, a platform and a schedule; the platform refuses connections."""
    job, _ = shop.file("csv", {"platform_ids": []})
    config = {"endpoint_url": "http://127.0.0.1:1", "bucket": "exports", "access_key_id": "x", "secret_access_key": "y"}
    platform = shop.call("POST", "/exports/platforms", {"name": "Shop", "platform_type": "s3", "config": config})
    assert platform.status == 201, platform
    body = {"platform_id": platform.json["id"], "schedule_name": "Nightly", "cron_expression": "@yearly"}
    schedule = shop.call("POST", "/exports/schedules", body)
    assert schedule.status == 201, schedule
    return Known(job["id"], platform.json["id"], schedule.json["id"])


def from_schemathesis(case: Case[Any], path_id: str) -> BadRequest:
    """The generated request; its path has the id, so that the request is not rejected for its path alone."""
    path = re.sub(r"\{\w+\}", path_id, case.operation.path)
    query = urlencode({str(name): value for name, value in (case.query or {}).items()}, doseq=True, errors="replace")
    headers = {
        name: value
        for name, value in {str(k): str(v) for k, v in (case.headers or {}).items()}.items()
        if re.fullmatch(r"[\w.!#-]+", name, re.ASCII) and re.fullmatch(r"[ -~\xa0-\xff]*", value)
    }
    body: bytes | None = None
    if not isinstance(case.body, NotSet):
        headers.setdefault("Content-Type", "application/json")
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    return BadRequest(case.method.upper(), path + (f"?{query}" if query else ""), headers, body)


def send_generated(client: Client, document: dict[str, Any], known: Known, count: int, chosen: int) -> None:
    """About `count` requests from schemathesis; two of three are forbidden by the document.

    They are for all operations, or for as many as there are requests: it takes a while to begin with an operation.
    """
    document = {name: value for name, value in document.items() if name != "security"}  # the key is ours
    operations = [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 25
    operations = operations[:: math.ceil(len(operations) / count)]
    for operation in operations:
        ids = [UNKNOWN, *(["x"] if "{" in operation.path else [])]
        if operation.method in ("get", "head", "patch"):
            ids += [next((i for name, i in vars(known).items() if f"/{name}s/" in operation.path), UNKNOWN)] * 2
        for mode, share in ((GenerationMode.NEGATIVE, 2 / 3), (GenerationMode.POSITIVE, 1 / 3)):

            @seed(chosen)
            @settings(
                max_examples=math.ceil(count * share / len(operations)),
                phases=[Phase.generate, Phase.shrink],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode), st.sampled_from(ids))
            def run(case: Case[Any], path_id: str) -> None:
                client.check(from_schemathesis(case, quote(path_id)))

            with contextlib.suppress(Unsatisfiable):  # nothing about the operation can be wrong
                run()


def send_grammar(client: Client, known: Known, count: int, chosen: int, stop: threading.Event) -> None:
    """Requests of the grammar until there were `count`, or until `stop`."""
    grammar = Grammar(chosen, known)
    for _ in range(count):
        if stop.is_set():
            return
        client.check(grammar.request())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("count", "chosen"), [(QUICK, 1), pytest.param(6_000, random.randrange(2**32), marks=pytest.mark.full, id="full")]
)
def test_every_bad_request_gets_a_documented_answer_in_time(
    unlimited: Gateway, shop: Rest, known: Known, count: int, chosen: int
) -> None:
    generated, grammar = Client(unlimited.url, shop.key), Client(unlimited.url, shop.key)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        # Few from schemathesis: each takes it 40 ms, and test_schemathesis.py has many more of them.
        sending = pool.submit(send_grammar, grammar, known, count * 9 // 10, chosen, stop)
        try:
            send_generated(generated, shop.call("GET", "/openapi.json").json, known, math.ceil(count / 10), chosen)
        except BaseException:
            stop.set()
            raise
        sending.result()
    statuses, codes = generated.statuses + grammar.statuses, generated.codes + grammar.codes
    assert statuses.total() >= count
    assert statuses.total() - statuses[200] - statuses[202] > count / 2, f"most of them are bad: {statuses}"
    assert len(codes) >= 10, codes
