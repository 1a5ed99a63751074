"""Settings that only make sense together, and what is said when some of them are missing."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.chassis.settings import ProcessSettings, RpcSettings

ROOT = Path(__file__).parents[3]
NAMES = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
SOME = [given for count in (1, 2) for given in itertools.combinations(NAMES, count)]


@pytest.mark.parametrize("given", SOME, ids=",".join)
def test_some_of_the_tls_files_are_refused_and_the_missing_ones_named(
    given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name in given:
        monkeypatch.setenv(name, "/somewhere")
    with pytest.raises(ValidationError) as raised:
        ProcessSettings()
    [problem] = raised.value.errors()
    missing = " and ".join(name for name in NAMES if name not in given)
    assert problem["msg"].endswith(f"; {missing} not set")


def test_no_tls_file_and_all_of_them_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # set and empty is not set
    assert ProcessSettings().tls_cert_file is None
    for name in NAMES:
        monkeypatch.setenv(name, f"/etc/{name}")
    assert ProcessSettings().tls_ca_file == Path("/etc/TLS_CA_FILE")


def test_health_has_its_own_port_only_if_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEALTH_PORT", raising=False)
    assert RpcSettings().health_port is None
    monkeypatch.setenv("HEALTH_PORT", "50061")
    assert RpcSettings().health_port == 50061


def test_a_process_exits_with_one_line_that_names_the_missing_setting() -> None:
    env = {**os.environ, "TLS_CERT_FILE": "/tls.crt", "SIGNING_KEY": "long enough to be a signing key, 32"}
    command = [sys.executable, "-m", "services.gateway"]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("gateway: settings: ") and line.endswith("TLS_KEY_FILE and TLS_CA_FILE not set")
