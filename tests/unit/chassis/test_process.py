"""How a process ends when one of its parts cannot start."""

import subprocess
import sys

import pytest

from services.chassis.process import misspelt
from services.delivery.settings import DeliverySettings
from services.exporter.settings import ExporterSettings
from services.gateway.settings import GatewaySettings
from services.scheduler.settings import SchedulerSettings
from tests.system import ROOT

CODE = """
from contextlib import asynccontextmanager
from services.chassis.faults import Unavailable
from services.chassis.process import run
from services.chassis.settings import ProcessSettings

@asynccontextmanager
async def build(settings):
    raise {error}
    yield

run("test", ProcessSettings, build)
"""


@pytest.mark.parametrize(
    "error", ["Unavailable('database_unavailable', 'It does not answer.')", "OSError('It does not answer.')"]
)
def test_a_part_that_cannot_start_ends_it_with_one_line(error: str) -> None:
    ended = subprocess.run([sys.executable, "-c", CODE.format(error=error)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "cannot_start" in line and "It does not answer." in line


def test_a_defect_is_shown_whole() -> None:
    code = CODE.format(error="KeyError('defect')")
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr and "KeyError: 'defect'" in ended.stderr


SETTINGS = {
    one.__name__: {name.upper() for name in one.model_fields}
    for one in (DeliverySettings, ExporterSettings, GatewaySettings, SchedulerSettings)
}
KUBERNETES = [
    f"{service}_{what}"
    for service in ("DELIVERY", "EXPORTER", "GATEWAY", "MONGODB", "NATS", "SCHEDULER")
    for what in ("PORT", "PORT_9091_TCP", "PORT_9091_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS")
]


def test_a_misspelt_setting_is_named_with_those_it_resembles() -> None:
    given = ["WORKER_JOB", "JOB_LEASE_SECOND", "WORKER_JOBS", "HOME", "worker_job"]
    assert misspelt(given, SETTINGS["ExporterSettings"]) == {
        "JOB_LEASE_SECOND": ["JOB_LEASE_SECONDS"],
        "WORKER_JOB": ["WORKER_JOBS"],
    }


@pytest.mark.parametrize("service", SETTINGS)
def test_settings_of_other_services_and_variables_of_kubernetes_are_not_taken_for_misspelt(service: str) -> None:
    others = set().union(*SETTINGS.values()) | set(KUBERNETES)
    assert misspelt(others, SETTINGS[service]) == {}
