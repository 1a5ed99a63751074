"""The local stack: what `make up` and `make key` print and do, and that nothing is left behind."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from deploy.local.stack import Stack
from tests.integration.local.local_commands import Up, children, is_alive, ran
from tests.rest import Rest
from tests.system import eventually

SERVERS = ("mongod", "nats-server")
SERVICES = ("services.exporter", "services.exporter", "services.delivery", "services.scheduler", "services.gateway")

Upper = Callable[..., Up]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Upper]:
    """Starts `make up` in the test's folder; killed at the end."""
    started: list[Up] = []

    def start(**settings: str) -> Up:
        started.append(Up(tmp_path / "local", **settings))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Up]]:
    """The stacks that the tests of this module have shared, the last one running; killed at the end."""
    started: list[Up] = []
    yield started
    for one in started:
        one.kill()


@pytest.fixture
def stack(stacks: list[Up], tmp_path_factory: pytest.TempPathFactory) -> Up:
    """A running stack; a test that ends it makes the next one start another."""
    if not stacks or stacks[-1].has_ended:
        folder = tmp_path_factory.mktemp("stack") / "local"
        stacks.append(Up(folder, JOB_LEASE_SECONDS="2", DISPATCH_SECONDS="1"))
    return stacks[-1].filled()


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_too_even_twice_and_while_it_starts(up: Upper, number: int) -> None:
    inherited = signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP would be ignored
    try:
        stack = up()
    finally:
        signal.signal(number, inherited)
    stack.wait_printed("starting")
    eventually("mongod runs", lambda: any("mongod" in command for command in children(stack.pid).values()))
    running = children(stack.pid)
    stack.send(number)
    assert stack.end(number) == 0
    assert "Traceback" not in stack.output
    assert not [pid for pid in running if is_alive(pid)]


@pytest.mark.full
def test_a_second_one_in_the_same_folder_says_where_the_first_one_is(stack: Up) -> None:
    second = ran("deploy.local", "up", LOCAL_DIR=str(stack.folder), GATEWAY_PORT="0")
    assert second.returncode == 1
    assert f"already runs in {stack.folder} (pid {stack.pid}) at {stack.state['url']}" in second.stderr
    assert Rest(stack.state["url"], stack.key).export("csv").status == 202


@pytest.mark.full
def test_a_killed_supervisor_leaves_no_orphan_and_the_next_one_goes_on_with_the_data(up: Upper) -> None:
    quick = {"JOB_LEASE_SECONDS": "2", "DISPATCH_SECONDS": "1"}
    first = up(**quick).filled()
    running, key = children(first.pid), first.key
    job = Rest(first.state["url"], key).export("csv").json["id"]
    first.kill()
    eventually("no orphan is left", lambda: not [pid for pid in running if is_alive(pid)])

    second = up(**quick).wait_up()
    assert second.key == key
    assert Rest(second.state["url"], key).ended(job)["status"] == "completed"


def kill_and_wait(stack: Up, pids: list[int], restarts: int) -> None:
    """Kill these children and wait until the stack has restarted so many since its start."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually("they are ready again", lambda: stack.output.count(" is ready again") == restarts)
    assert not set(pids) & set(children(stack.pid))


@pytest.mark.full
def test_every_child_that_dies_is_restarted(stack: Up) -> None:
    running = children(stack.pid)
    servers = [pid for pid, command in running.items() if any(server in command for server in SERVERS)]
    services = [pid for pid in running if pid not in servers]
    kill_and_wait(stack, services, restarts=len(services))
    kill_and_wait(stack, servers, restarts=len(running))
    for name in (*SERVERS, "exporter", "exporter-worker", "delivery", "scheduler", "gateway"):
        assert f"{name} was killed by SIGKILL" in stack.output
        assert f"{name} is ready again" in stack.output
    rest = Rest(stack.state["url"], stack.key)
    accepted = eventually("it accepts exports", lambda: (answer := rest.export("csv")).status == 202 and answer)
    assert rest.ended(accepted.json["id"])["status"] == "completed"


@pytest.mark.full
def test_a_child_that_cannot_start_is_named_with_the_end_of_its_log(up: Upper, mongo_uri: str, nats_url: str) -> None:
    stack = up(WORKER_JOBS="many", MONGODB_URI=mongo_uri, NATS_URL=nats_url)
    assert stack.ended() == 1
    assert "exporter-worker ended with exit code 2" in stack.output
    assert "setting WORKER_JOBS: must be a whole number" in stack.output
    assert str(stack.folder / "logs" / "exporter-worker.log") in stack.output
    assert children(stack.pid) == {}


@pytest.mark.full
def test_a_gateway_port_that_is_taken_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = ran("deploy.local", "up", LOCAL_DIR=str(tmp_path / "local"), GATEWAY_PORT=port)
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken; set GATEWAY_PORT to another one" in ended.stderr
    assert not (tmp_path / "local" / "mongod").exists()


@pytest.mark.full
def test_a_server_port_that_another_program_took_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.stack.SERVICES", ())
    monkeypatch.setattr("deploy.local.stack.api_key", lambda *_: "key")
    first = Stack(tmp_path).start()
    before = (first.mongodb_uri, first.nats_url)
    with MongoClient[dict[str, object]](first.mongodb_uri) as client:
        client["x"]["things"].insert_one({"_id": 1})
    first.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", urlsplit(first.mongodb_uri).port or 0))
        second = Stack(tmp_path).start()
        try:
            assert second.mongodb_uri != before[0]
            assert second.nats_url == before[1]
            with MongoClient[dict[str, object]](second.mongodb_uri) as client:
                assert client["x"]["things"].count_documents({}) == 1
        finally:
            second.stop()


@pytest.mark.full
@pytest.mark.parametrize(("setting", "value"), [("GATEWAY_PORT", "abc"), ("GATEWAY_PORT", "70000")])
def test_an_invalid_setting_is_named(setting: str, value: str) -> None:
    for command in (("deploy.local", "up"), ("deploy.local.key", "list"), ("deploy.local.demo",)):
        ended = ran(*command, **{setting: value})
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"setting {setting}: must be")


def test_a_local_dir_that_is_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    ended = ran("deploy.local", "up", LOCAL_DIR=str(file), GATEWAY_PORT="0")
    assert ended.returncode == 1
    assert str(file) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert file.read_text() == "mine"


def test_keys_are_made_listed_and_revoked_on_the_running_stack(stack: Up) -> None:
    local = {"LOCAL_DIR": str(stack.folder)}
    made = ran("deploy.local.key", "create", "--tenant", "shop", "--scopes", "*", **local)
    stack.filled("shop")
    key = made.stdout.split()[0]
    rest = Rest(stack.state["url"], key)
    assert rest.export("csv").status == 202
    key_id = key.split("_")[1]
    assert f"{key_id}  tenant shop" in ran("deploy.local.key", "list", **local).stdout
    assert ran("deploy.local.key", "revoke", key_id, **local).returncode == 0
    eventually("the key is rejected", lambda: rest.export("csv").status == 401)


def test_it_prints_address_key_and_a_curl_that_works_and_sigint_ends_it_in_order(stack: Up) -> None:
    """After the tests that share the stack, as it ends it."""
    url = stack.state["url"]
    assert f"{url}/api/v1" in stack.output
    assert stack.key in stack.output
    assert (stack.folder / "api-key").stat().st_mode & 0o777 == 0o600
    curl = re.search(r"curl -X POST (\S+) \\\n.*\$\(cat '(.*)'\)", stack.output)
    assert curl is not None
    assert curl[1] == f"{url}/api/v1/exports/csv/products"
    assert Path(curl[2]).read_text().strip() == stack.key
    assert Rest(url, stack.key).export("csv").status == 202
    running = children(stack.pid)
    assert len(running) == len(SERVERS + SERVICES), running

    assert stack.end(signal.SIGINT) == 0
    assert not [pid for pid in running if is_alive(pid)]
    for service in ("gateway", "scheduler", "delivery", "exporter-worker", "exporter"):
        assert json.loads(stack.log(service).splitlines()[-1])["event"] == "stopped"
    assert '"exitCode":0' in stack.log("mongod").splitlines()[-1]


def test_keys_without_a_stack_say_what_to_do(tmp_path: Path) -> None:
    ended = ran("deploy.local.key", "list", LOCAL_DIR=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == f"no stack is running in {tmp_path}: start one with `make up`, or set MONGODB_URI\n"


@pytest.mark.full
def test_given_servers_are_used_and_left_running(up: Upper, mongo_uri: str, nats_url: str) -> None:
    stack = up(MONGODB_URI=mongo_uri, NATS_URL=nats_url).filled()
    assert len(children(stack.pid)) == len(SERVICES)
    rest = Rest(stack.state["url"], stack.key)
    assert rest.ended(rest.export("csv").json["id"])["status"] == "completed"
    assert stack.end() == 0
    assert ran("services.gateway.auth.keys", "list", MONGODB_URI=mongo_uri).returncode == 0
