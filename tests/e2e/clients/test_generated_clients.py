"""Clients that are generated from the OpenAPI document are used for a whole session, and linters find nothing in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.demo.receivers.sftp_server import sftp_server
from tests.rest import Rest
from tests.system import System

HERE = Path(__file__).parent
SECONDS = 300
PRODUCTS = [
    {"_id": "1", "sku": "MH01", "price": 52.0, "attributes": {"color": "Black"}},
    {"_id": "2", "sku": "WB04", "price": 34.5, "attributes": {"color": "Red"}},
    {"_id": "3", "sku": "UG06", "price": 7.0, "tags": ["steel", "1 l"]},
]
pytestmark = [pytest.mark.full, pytest.mark.timeout(2 * SECONDS)]


def run(*command: str, cwd: Path, **env: str) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def document(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(Rest(system.url, "").call("GET", "/openapi.json").body)
    return path


@pytest.fixture(scope="module")
def npm(document: Path) -> Path:
    """A folder with the packages of package.json and all that is compiled, beside the document."""
    if shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    folder = document.parent
    for source in ("package.json", "tsconfig.json", "fetch_session.ts", "hey_session.ts"):
        shutil.copy(HERE / source, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--loglevel=error"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    if found.returncode:
        pytest.skip(f"the npm registry cannot be reached: {found.stderr[-300:]}")
    return folder


@pytest.fixture(scope="module")
def arguments(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The gateway's URL, a key, and the config of a platform."""
    system.fill("generated-clients", PRODUCTS)
    with sftp_server(tmp_path_factory.mktemp("sftp") / "root") as server:
        yield [system.url, system.key("generated-clients"), json.dumps(server.config())]


def test_a_python_client_makes_exports_platforms_and_schedules(
    document: Path, arguments: list[str], tmp_path: Path
) -> None:
    package = tmp_path / "catalog_exports_client"
    generator = str(Path(sys.executable).parent / "openapi-python-client")
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    said = run(
        *(generator, "generate", "--path", str(document), "--output-path", str(package), "--meta", "none"),
        cwd=tmp_path,
        PATH=tools,
    )
    assert "Warning" not in said, said
    run(sys.executable, str(HERE / "python_session.py"), *arguments, cwd=tmp_path, PYTHONPATH=str(tmp_path))


def test_typescript_clients_compile_strictly_and_make_exports_platforms_and_schedules(
    npm: Path, arguments: list[str]
) -> None:
    run("npx", "openapi-typescript", "openapi.json", "--output", "schema.d.ts", cwd=npm)
    run("npx", "openapi-ts", "--input", "openapi.json", "--output", "hey", "--no-log-file", cwd=npm)
    run("npx", "tsc", "--project", ".", cwd=npm)
    for session in ("fetch_session", "hey_session"):
        run("node", f"built/{session}.js", *arguments, cwd=npm)


def test_the_recommended_rules_of_spectral_and_redocly_report_nothing(npm: Path) -> None:
    (npm / "spectral.json").write_text('{"extends": ["spectral:oas"]}')
    said = run("npx", "spectral", "lint", "--ruleset", "spectral.json", "openapi.json", cwd=npm)
    assert "No results" in said, said
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    said = run(
        *("npx", "redocly", "lint", "--extends", "recommended", "--format", "json", "openapi.json"), cwd=npm, **quiet
    )
    found = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, found
