"""The process that makes files gives way to those that answer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.processes.priority import NICENESS, give_way


@pytest.fixture
def session() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, start_new_session=True
    )
    with child:
        yield child
        child.communicate()


def test_a_process_that_gives_way_weighs_less_and_so_does_its_session(session: subprocess.Popen[bytes]) -> None:
    give_way(session.pid)
    assert os.getpriority(os.PRIO_PROCESS, session.pid) == NICENESS
    group = Path(f"/proc/{session.pid}/autogroup")
    if group.exists():
        assert group.read_text().split()[-1] == str(NICENESS)
