"""Child processes: how their failures are reported, and how they end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.processes import children, signals
from deploy.local.processes.children import Child, NotReady
from tests.system import eventually


class Script(Child):
    """Python code as a child; it is ready when it has printed `ready`."""

    def __init__(self, code: str, log: Path) -> None:
        super().__init__("script", log)
        self.code = code

    def launch(self) -> None:
        self.spawn([sys.executable, "-u", "-c", self.code])

    def is_ready(self) -> bool:
        return "ready" in self.log.read_text()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "script.log"


def test_a_child_that_ends_too_soon_is_named_with_the_end_of_its_log(log: Path) -> None:
    code = "for n in range(100): print('line', n)\nraise SystemExit(3)"
    with pytest.raises(NotReady) as caught:
        Script(code, log).start()
    assert str(caught.value).startswith(f"script ended with exit code 3; the end of {log}:\n")
    assert str(caught.value).endswith("    line 98\n    line 99")
    assert "line 50" not in str(caught.value)


def test_the_log_of_an_earlier_process_is_not_shown_for_the_next_one(log: Path) -> None:
    child = Script("print('an old message'); raise SystemExit(1)", log)
    with pytest.raises(NotReady, match="an old message"):
        child.start()
    child.code = "raise SystemExit(2)"
    with pytest.raises(NotReady) as caught:
        child.start()
    assert "an old message" not in str(caught.value)
    assert "an old message" in log.read_text()


def test_a_child_that_is_never_ready_is_killed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "READY_TIMEOUT", 0.3)
    child = Script("import time; time.sleep(60)", log)
    with pytest.raises(NotReady, match="was not ready within"):
        child.start()
    assert child.pid is None


def test_a_child_that_ignores_sigterm_is_killed_after_the_timeout(log: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    child = Script(code, log)
    child.start()
    child.stop(timeout=0.3)
    assert child.pid is None
    assert child.exit_status == f"was killed by {signal.SIGKILL.name}"


def test_a_long_log_is_rotated_while_its_child_keeps_writing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_LIMIT", 1000)
    child = Script("import time\nprint('x' * 2000, 'ready')\nwhile True: print('later'); time.sleep(0.01)", log)
    child.start()
    try:
        child.trim_log()
        old = log.with_suffix(".old.log")
        assert old.read_text().startswith("xxx")
        eventually("it keeps writing", lambda: log.read_text().startswith("later"))
        assert log.stat().st_size < 1000
        assert "later" in child.tail()
    finally:
        child.kill()


@pytest.fixture
def stop_signals() -> Iterator[None]:
    """Stop signals interrupt as in a program; afterwards everything is as before."""
    before = {number: signal.getsignal(number) for number in signals.STOP_SIGNALS}
    signals.interruptible()
    yield
    signals._arrived.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("stop_signals")
def test_a_child_whose_launch_is_interrupted_is_known_and_can_be_stopped(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = subprocess.Popen

    def interrupted(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        process = started(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    child = Script("import time; print('ready'); time.sleep(60)", log)
    with pytest.raises(KeyboardInterrupt):
        child.launch()
    assert child.pid is not None
    child.kill()
    assert child.pid is None
