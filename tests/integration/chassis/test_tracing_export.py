"""A real process sends its spans where the usual OTEL variables say, and none without them."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.servers import free_port
from services.chassis.telemetry.tracing_export import SHUTDOWN_TIMEOUT
from tests.integration.chassis.otlp_collector import Collector, over_grpc, over_http
from tests.integration.tracing.spans import TRACE, TRACEPARENT
from tests.system import ROOT, Process, eventually

READY_WITHIN = 30.0
NAME = "GET /api/v1/exports/jobs"


@pytest.fixture
def gateway(mongo_uri: str, tmp_path: Path) -> Callable[..., AbstractContextManager[tuple[str, Process]]]:
    """Starts a gateway whose exporter is away with these variables; it is ended at the end of the block."""

    @contextmanager
    def started(**variables: str) -> Iterator[tuple[str, Process]]:
        port = free_port()
        process = Process(
            "services.gateway",
            {
                "MONGODB_URI": mongo_uri,
                "GATEWAY_PORT": str(port),
                "METRICS_PORT": "0",
                "EXPORTER_ADDRESS": f"127.0.0.1:{free_port()}",
                "ARTIFACTS_URL": (tmp_path / "artifacts").as_uri(),
                "SIGNING_KEY": "a signing key for tests, not a secret",
                "LOG_LEVEL": "DEBUG",
                **variables,
            },
            tmp_path / "gateway.log",
        )
        process.start()
        url = f"http://127.0.0.1:{port}"
        try:
            eventually("the gateway is alive", lambda: _status(f"{url}/healthz") == 200, READY_WITHIN)
            yield url, process
        finally:
            process.end()

    return started


def _status(url: str) -> int:
    with suppress(urllib.error.URLError, OSError):
        try:
            request = urllib.request.Request(url, headers={"traceparent": TRACEPARENT})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            with exc:
                return int(exc.code)
    return 0


@pytest.mark.parametrize(("listening", "protocol"), [(over_grpc, "grpc"), (over_http, "http/protobuf")])
def test_a_process_with_only_otel_variables_set_sends_its_spans(
    gateway: Callable[..., AbstractContextManager[tuple[str, Process]]],
    listening: Callable[[], AbstractContextManager[Collector]],
    protocol: str,
) -> None:
    with (
        listening() as collector,
        gateway(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_SERVICE_NAME="shop-gateway",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=tests",
            OTEL_BSP_SCHEDULE_DELAY="100",
        ) as (url, process),
    ):
        assert _status(f"{url}/api/v1/exports/jobs") == 401
        [span] = eventually("a span arrived", lambda: collector.received)
        log = [json.loads(line) for line in process.output.splitlines()]
    assert (span.name, span.trace) == (NAME, TRACE)
    assert (
        span.resource.items()
        >= {
            "service.name": "shop-gateway",
            "service.namespace": "catalog-exports",
            "deployment.environment.name": "tests",
            "telemetry.sdk.name": "opentelemetry",
        }.items()
    )
    [line] = [line for line in log if line["event"] == "request" and line["path"] == "/api/v1/exports/jobs"]
    assert (line["trace_id"], line["span_id"]) == (TRACE, span.id)


@pytest.mark.full
def test_the_service_has_its_own_name_by_default_and_sends_its_last_spans_when_it_ends(
    gateway: Callable[..., AbstractContextManager[tuple[str, Process]]],
) -> None:
    never_by_itself = "3600000"
    with over_grpc() as collector:
        with gateway(
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY=never_by_itself,
        ) as (url, _):
            assert _status(f"{url}/api/v1/exports/jobs") == 401
            assert collector.received == []
        [span] = collector.received
    assert (span.name, span.resource["service.name"]) == (NAME, "gateway")


@pytest.mark.full
@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_nothing_is_sent_when_it_is_not_wanted(
    gateway: Callable[..., AbstractContextManager[tuple[str, Process]]], variables: dict[str, str]
) -> None:
    with over_grpc() as collector:
        with gateway(**{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}) as (url, _):
            assert _status(f"{url}/api/v1/exports/jobs") == 401
        assert collector.received == []


def test_a_collector_that_is_away_holds_up_neither_requests_nor_the_end(
    gateway: Callable[..., AbstractContextManager[tuple[str, Process]]],
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with gateway(OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, OTEL_BSP_SCHEDULE_DELAY="100") as (url, process):
        assert _status(f"{url}/api/v1/exports/jobs") == 401
        started = time.monotonic()
        process.end(signal.SIGTERM)
        assert time.monotonic() - started < SHUTDOWN_TIMEOUT + 15
        assert '"event": "stopped"' in process.output


@pytest.mark.full
def test_without_the_variables_nothing_of_the_sdk_is_loaded() -> None:
    loaded = (
        "import sys, services.chassis.process, services.gateway.app, services.exporter.app;"
        "import services.delivery.app, services.scheduler.app;"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry.sdk')"
        " or name.startswith('opentelemetry.exporter')))"
    )
    said = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.full
def test_an_exporter_that_does_not_exist_is_named_at_the_start() -> None:
    command = [sys.executable, "-m", "services.gateway"]
    env = {"SIGNING_KEY": "a signing key for tests, not a secret", "OTEL_TRACES_EXPORTER": "jaeger"}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30)
    assert said.returncode == 2
    assert "OTEL_TRACES_EXPORTER" in said.stderr
