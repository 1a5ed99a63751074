"""The local stack: what a user of `make up` and `make key` meets, and what is left behind."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.local.local_commands import Up, children, is_alive, ran
from tests.rest import Rest
from tests.system import eventually

SERVERS = ("mongod", "nats-server")
SERVICES = ("services.exporter", "services.exporter", "services.delivery", "services.scheduler", "services.gateway")

Upper = Callable[..., Up]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Upper]:
    """Starts `make up` in a folder of the test; all of them are gone at its end."""
    started: list[Up] = []

    def start(**settings: str) -> Up:
        started.append(Up(tmp_path / "local", **settings))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that runs, for the tests that do not end it."""
    one = Up(tmp_path_factory.mktemp("stack") / "local", LEASE_SECONDS="2", DISPATCH_SECONDS="1")
    try:
        yield one.filled()
    finally:
        one.kill()


def test_it_prints_address_key_and_a_curl_that_works_and_sigint_ends_it_in_order(up: Upper) -> None:
    stack = up().filled()
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_too_even_twice_and_while_it_starts(up: Upper, number: int) -> None:
    stack = up()
    stack.wait_says("starting")
    eventually("mongod runs", lambda: any("mongod" in command for command in children(stack.pid).values()))
    running = children(stack.pid)
    stack.send(number)
    assert stack.end(number) == 0
    assert "Traceback" not in stack.output
    assert not [pid for pid in running if is_alive(pid)]


def test_a_second_one_in_the_same_folder_says_where_the_first_one_is(stack: Up) -> None:
    second = ran("deploy.local", "up", LOCAL_DIR=str(stack.folder), GATEWAY_PORT="0")
    assert second.returncode == 1
    assert f"already runs in {stack.folder} (pid {stack.pid}) at {stack.state['url']}" in second.stderr
    assert Rest(stack.state["url"], stack.key).export("csv").status == 202


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_one_goes_on_with_the_data(up: Upper) -> None:
    quick = {"LEASE_SECONDS": "2", "DISPATCH_SECONDS": "1"}
    first = up(**quick).filled()
    running, key = children(first.pid), first.key
    job = Rest(first.state["url"], key).export("csv").json["id"]
    first.kill()
    eventually("no orphan is left", lambda: not [pid for pid in running if is_alive(pid)], within=10)

    second = up(**quick).wait_up()
    assert second.key == key
    assert Rest(second.state["url"], key).ended(job)["status"] == "completed"


def up_again(stack: Up, times: int) -> bool:
    return stack.output.count(" is up again") == times


def test_every_child_that_dies_is_started_again(stack: Up) -> None:
    for number, dead in enumerate(children(stack.pid), 1):
        os.kill(dead, signal.SIGKILL)
        eventually("it is up again", partial(up_again, stack, number), within=30)
        assert dead not in children(stack.pid)
    for name in (*SERVERS, "exporter", "exporter-worker", "delivery", "scheduler", "gateway"):
        assert f"{name} was killed by SIGKILL" in stack.output
        assert f"{name} is up again" in stack.output
    rest = Rest(stack.state["url"], stack.key)
    accepted = eventually("it accepts again", lambda: (answer := rest.export("csv")).status == 202 and answer)
    assert rest.ended(accepted.json["id"])["status"] == "completed"


def test_a_child_that_cannot_start_is_named_with_the_end_of_its_log(up: Upper) -> None:
    stack = up(WORKER_JOBS="many")
    assert stack.ended() == 1
    assert "exporter-worker ended with exit code 2" in stack.output
    assert "setting WORKER_JOBS: Input should be a valid integer" in stack.output
    assert str(stack.folder / "logs" / "exporter-worker.log") in stack.output
    assert children(stack.pid) == {}


def test_a_gateway_port_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = ran("deploy.local", "up", LOCAL_DIR=str(tmp_path / "local"), GATEWAY_PORT=port)
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken; set GATEWAY_PORT to another one" in ended.stderr
    assert not (tmp_path / "local" / "mongod").exists()


def test_a_port_inside_that_was_taken_meanwhile_is_exchanged(up: Upper) -> None:
    first = up().filled()
    ports = first.state["ports"]
    assert first.end() == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports["mongod"]))
        second = up().filled()
        assert second.state["ports"]["mongod"] != ports["mongod"]
        assert second.state["ports"]["nats-server"] == ports["nats-server"]
        assert second.key in second.output


@pytest.mark.parametrize(("setting", "value"), [("GATEWAY_PORT", "abc"), ("GATEWAY_PORT", "70000")])
def test_a_wrong_setting_is_named(setting: str, value: str) -> None:
    for command in (("deploy.local", "up"), ("deploy.local.key", "list"), ("deploy.local.demo",)):
        ended = ran(*command, **{setting: value})
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"setting {setting}: Input should be")


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
    eventually("the key counts no more", lambda: rest.export("csv").status == 401, within=10)


def test_keys_without_a_stack_say_what_to_do(tmp_path: Path) -> None:
    ended = ran("deploy.local.key", "list", LOCAL_DIR=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == f"no stack runs in {tmp_path}: start one with `make up`, or set MONGODB_URI\n"


def test_given_servers_are_used_and_left_running(up: Upper, mongo_uri: str, nats_url: str) -> None:
    stack = up(MONGODB_URI=mongo_uri, NATS_URL=nats_url).filled()
    assert len(children(stack.pid)) == len(SERVICES)
    rest = Rest(stack.state["url"], stack.key)
    assert rest.ended(rest.export("csv").json["id"])["status"] == "completed"
    assert stack.end() == 0
    assert ran("services.gateway.auth.keys", "list", MONGODB_URI=mongo_uri).returncode == 0
