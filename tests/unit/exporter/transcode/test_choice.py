"""Which transcoders are used, and what is logged about it."""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from services.exporter import transcode
from services.exporter.transcode import choice
from services.exporter.transcode.choice import PLAIN, transcoders


@pytest.fixture(autouse=True)
def asked_for_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "log", structlog.get_logger())
    transcoders.cache_clear()


def test_without_the_compiled_module_python_is_used_and_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "services.exporter.transcode.compiled", None)
    monkeypatch.delattr(transcode, "compiled", raising=False)
    with capture_logs() as logs:
        assert transcoders() is PLAIN
        assert transcoders() is PLAIN
    [line] = logs
    assert (line["event"], line["log_level"], line["implementation"]) == ("transcoding", "warning", "python")
    assert "compiled" in line["reason"]
    transcoders.cache_clear()


def test_the_compiled_module_is_used_if_it_was_built() -> None:
    compiled = pytest.importorskip("services.exporter.transcode.compiled", reason="not compiled here")
    with capture_logs() as logs:
        assert transcoders().csv_rows is compiled.CsvRows
    assert [(line["event"], line["log_level"], line["implementation"]) for line in logs] == [
        ("transcoding", "info", "compiled")
    ]


def has_compiler() -> bool:
    """Whether `make setup` can build the module: a C compiler, Python's headers, a little-endian machine."""
    command = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return shutil.which(command) is not None and headers.exists() and sys.byteorder == "little"


@pytest.mark.skipif(not has_compiler(), reason="there is no C compiler here")
def test_with_a_compiler_the_tests_include_the_compiled_transcoders() -> None:
    found = importlib.util.find_spec("services.exporter.transcode.compiled")
    assert found is not None, "run `make setup`; .venv/build.log has the errors"
