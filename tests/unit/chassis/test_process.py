"""How a process ends when one of its parts cannot start."""

import subprocess
import sys

import pytest

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
