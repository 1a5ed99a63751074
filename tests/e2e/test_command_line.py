"""`catalog-exports` with a real gateway: what it prints, and its exit codes."""

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog_exports.cli.app import run
from deploy.local.demo.receivers.sftp_server import sftp_server
from tests.documents import check_session, checkout, sftp_environment
from tests.rest import Rest
from tests.system import ROOT, System, eventually
from tests.webhook_receiver import receiver

PAGE, TENANT = ROOT / "docs" / "cli.md", "command-line"


@pytest.fixture(scope="module")
def rest(system: System) -> Rest:
    system.fill(
        TENANT, [{"_id": str(n), "sku": f"A{n}", "brand": "Acme" if n % 2 else "Zen", "price": n} for n in range(100)]
    )
    return system.client(TENANT)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Program:
    """Runs the program in this process, in a folder of its own."""

    def __init__(self, url: str, key: str, home: Path) -> None:
        self.env = {
            "CATALOG_EXPORTS_URL": url,
            "CATALOG_EXPORTS_KEY": key,
            "XDG_CONFIG_HOME": str(home),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    def __call__(self, *words: str, stdin: str = "", watched: bool = False, **env: str) -> Outcome:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), Terminal() if watched else io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.env, **env}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["catalog-exports", *words])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run()
        out.flush()
        buffer = out.buffer
        assert isinstance(buffer, io.BytesIO)
        return Outcome(code, buffer.getvalue().decode(), err.getvalue())


@pytest.fixture
def cli(rest: Rest, tmp_path: Path) -> Iterator[Program]:
    with contextlib.chdir(tmp_path):
        yield Program(rest.url, rest.key, tmp_path / "home")


def test_export_writes_the_file_and_says_what_it_is(cli: Program) -> None:
    made = cli("export", "csv", "--filter", "brand=Acme", "--filter", "price>=50", "--fields", "sku,price",
               "--option", "utf8_bom=false", "--order-by=-price", "-o", "acme.csv")  # fmt: skip
    assert made == Outcome(0, made.out, "")
    assert re.fullmatch(r"acme\.csv: 25 records, \d+ bytes, SHA-256 verified\n", made.out)
    assert Path("acme.csv").read_text().splitlines()[:2] == ["sku,price", "A99,99"]


def test_export_to_stdout_is_the_file_alone(cli: Program) -> None:
    made = cli(
        "export", "json", "--options", "-", "--output", "-", stdin='{"json_lines": true, "filters": {"sku": "A7"}}'
    )
    assert (made.code, made.json["sku"], made.err) == (0, "A7", "")


def test_progress_is_shown_to_those_who_watch(cli: Program) -> None:
    made = cli("export", "csv", "--no-delivery", "--output", "x.csv", watched=True)
    assert made.code == 0
    assert re.search(r"(processing|queued|reading|completed) .*downloading", made.err, re.DOTALL)
    timed = cli("export", "csv", "--timeout", "60", "--output", "x.csv", watched=True)
    assert timed.code == 0


def test_jobs_in_json(cli: Program) -> None:
    job = cli("export", "csv", "--no-wait", "--json", "--idempotency-key", "jobs-in-json").json
    assert cli("export", "csv", "--no-wait", "--idempotency-key", "jobs-in-json").out == f"{job['id']}\n"
    ended = cli("jobs", "wait", job["id"], "--json")
    assert (ended.code, ended.json["status"], ended.json["total_records"]) == (0, "completed", 100)
    assert job["id"] in [one["id"] for one in cli("jobs", "list", "--status", "completed", "--json").json]
    assert cli("jobs", "list", "--limit", "1").out.splitlines()[0].split("\t") == [
        "id", "created", "format", "status", "records", "file"
    ]  # fmt: skip
    assert cli("jobs", "download", job["id"], "--json").json["sha256"] == ended.json["sha256"]
    assert Path(ended.json["file_name"]).stat().st_size == ended.json["file_size"]
    assert f"sha256    {ended.json['sha256']}\n" in cli("jobs", "show", job["id"]).out
    assert cli("jobs", "delete", job["id"]).code == 0
    gone = cli("jobs", "show", job["id"], "--json")
    assert (gone.code, json.loads(gone.err)["code"]) == (3, "job_not_found")


def test_exit_codes_tell_why(system: System, cli: Program, rest: Rest) -> None:
    assert cli("export").code == 2
    assert cli("export", "csv", "--filter", "price").code == 2
    assert cli("export", "csv", "--output", "nowhere/x.csv").code == 2
    typo = cli("export", "csv", "--filter", "pirce>=30")
    assert (typo.code, typo.err) == (
        3, "error: filters.pirce: no product has the field 'pirce'; did you mean price? (unknown_field)\n"
    )  # fmt: skip
    assert cli("jobs", "list", CATALOG_EXPORTS_KEY="cx_unknown").code == 4
    assert cli("jobs", "list", CATALOG_EXPORTS_KEY="").code == 4
    key = system.key(system.fill_wide())
    slow = cli("export", "excel", "--timeout", "0.1", CATALOG_EXPORTS_KEY=key)
    assert slow.code == 7
    [job_id] = re.findall(r"jobs wait (\S+)", slow.err)
    assert cli("jobs", "cancel", job_id, CATALOG_EXPORTS_KEY=key).out == f"{job_id} is cancelled\n"
    assert cli("jobs", "wait", job_id, CATALOG_EXPORTS_KEY=key).code == 5
    assert cli("jobs", "retry", job_id, CATALOG_EXPORTS_KEY=key).out == f"{job_id} is processing\n"
    assert cli("jobs", "cancel", job_id, CATALOG_EXPORTS_KEY=key).code == 0


def test_login_keeps_the_key_for_its_server_only(cli: Program, rest: Rest, tmp_path: Path) -> None:
    cli.env |= {"CATALOG_EXPORTS_URL": "", "CATALOG_EXPORTS_KEY": ""}
    assert cli("login", rest.url, stdin="cx_wrong\n").code == 4
    assert cli("jobs", "list").code == 4
    file = tmp_path / "home" / "catalog-exports" / "login.json"
    assert cli("login", f"{rest.url}/", stdin=f"{rest.key}\n").err == f"logged in to {rest.url}; the key is in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli("jobs", "list").code == 0
    other = cli("--url", "http://other.example.com", "jobs", "list")
    assert (other.code, other.err.partition(":")[2].strip()[:12]) == (4, "there is no ")
    assert cli("logout").err == "logged out\n"
    assert cli("jobs", "list").code == 4


def test_a_profile_is_saved_and_run(cli: Program) -> None:
    made = cli("profiles", "create", "csv", "--name", "Prices", "--filter", "brand=Acme", "--fields", "sku,price",
               "--option", "utf8_bom=false")  # fmt: skip
    profile = made.out.strip()
    assert made == Outcome(0, f"{profile}\n", "")
    shown = cli("profiles", "show", profile, "--json").json
    assert (shown["name"], shown["version"], shown["options"]["filters"]) == ("Prices", 1, {"brand": {"eq": "Acme"}})
    assert cli("profiles", "show", profile, "--version", "1").out.splitlines()[:2] == [
        f"id       {profile}",
        "name     Prices",
    ]
    assert cli("profiles", "show", profile, "--version", "2").code == 3
    assert f"{profile}\t" in cli("profiles", "list").out
    assert cli("profiles", "run", profile, "--filter", "price>=97", "-o", "prices.csv").code == 0
    assert Path("prices.csv").read_text().splitlines() == ["sku,price", "A97,97", "A98,98", "A99,99"]
    wrong = cli("profiles", "run", profile, "--option", "pretty=true")
    assert (wrong.code, "options.pretty" in wrong.err) == (3, True)
    job = cli("profiles", "run", profile, "--no-wait", "--json").json
    assert job["id"] in [one["id"] for one in cli("jobs", "list", "--profile", profile, "--json").json]
    assert cli("profiles", "delete", profile).err == f"{profile} is deleted\n"
    assert cli("profiles", "show", profile).code == 3


def test_a_platform_is_added_with_a_typed_secret_and_gets_scheduled_exports(cli: Program, tmp_path: Path) -> None:
    with sftp_server(tmp_path / "sftp") as server:
        config = server.config()
        password = config.pop("password")
        given = [f"--set={name}={value}" for name, value in config.items()]
        typed = at_a_terminal(["platforms", "add", "sftp", "--name", "Shop", *given], cli.env, {"password": password})
        assert password not in typed
        [platform] = cli("platforms", "list", "--json").json
        assert (platform["name"], platform["config"]["password"]) == ("Shop", "********")
        assert cli("platforms", "test", platform["id"]).out.count("ok ") == 6
        made = cli("schedules", "add", "0 6 * * MON-FRI", "--name", "Prices", "--platform", platform["id"],
                   "--timezone", "Europe/Paris", "--fields", "sku,price", "--json").json  # fmt: skip
        base = ("schedules", "add", "0 6 * * *", "--name", "Changes", "--platform", platform["id"])
        assert cli(*base, "--full-every", "2").code == 2
        made_delta = cli(*base, "--changes", "--skip-empty", "--full-every", "7", "--json").json
        delta = cli("schedules", "show", made_delta["id"], "--json").json
        assert (delta["changes"], delta["empty"], delta["full_every"]) == (True, "skip", 7)
        assert "empty files: skip, full every: 7" in cli("schedules", "show", delta["id"]).out
        for more in ((), ("--reset",)):
            assert cli("schedules", "baseline", delta["id"], *more).out == "the next file has all rows\n"
        assert cli("schedules", "delete", delta["id"]).code == 0
        assert cli("schedules", "pause", made["id"]).out == "Prices: paused\n"
        assert cli("schedules", "run", made["id"], "--json").json["is_manual"]
        assert cli("schedules", "runs", made["id"], "--json").json[0]["is_manual"]
        assert cli("schedules", "resume", made["id"], "--json").json["next_run_at"] == made["next_run_at"]
        assert len(cli("schedules", "preview", made["id"], "--count", "3", "--json").json) == 3
        in_use = cli("platforms", "delete", platform["id"])
        assert (in_use.code, "platform_in_use" in in_use.err) == (3, True)
        assert (cli("schedules", "delete", made["id"]).code, cli("platforms", "delete", platform["id"]).code) == (0, 0)
        wrong = cli(
            "platforms", "add", "sftp", "--name", "Shop", *given, "--secret-file", "password=-", stdin="wrong\n"
        )
        assert (wrong.code, "wrong_credentials" in wrong.out) == (5, True)
        assert cli("platforms", "delete", wrong.out.splitlines()[0]).code == 0


def test_a_webhook_is_added_tested_and_told_what_has_happened(cli: Program) -> None:
    with receiver() as endpoint:
        made = cli("webhooks", "add", endpoint.url, "--events", "export.completed,export.failed")
        webhook, secret = made.out.split()
        endpoint.secrets.append(secret)
        assert cli("webhooks", "test", webhook).out.startswith("ok, 204 after ")
        assert cli("export", "csv", "-o", "-").code == 0
        eventually("the end is reported", lambda: endpoint.of("export.completed"))
        event = endpoint.of("export.completed")[0].id
        assert endpoint.requests[0].signed_by == (secret,)
        sent = eventually("it is listed", lambda: [
            one for one in cli("webhooks", "sent", webhook, "--json").json if one["status"] == "delivered"
        ])  # fmt: skip
        assert [one["event_id"] for one in sent] == [event]
        assert cli("webhooks", "replay", webhook, event).err == f"{event} is sent again\n"
        assert cli("webhooks", "rotate", webhook).out.strip() != secret
        assert cli("webhooks", "pause", webhook).err == f"{webhook}: inactive\n"
        assert cli("webhooks", "resume", webhook).err == f"{webhook}: active\n"
        endpoint.status = 500
        failed = cli("webhooks", "test", webhook)
        assert (failed.code, "500" in failed.out) == (5, True)
        assert [one["id"] for one in cli("webhooks", "list", "--json").json] == [webhook]
        assert cli("webhooks", "delete", webhook).err == f"{webhook} is deleted\n"


def at_a_terminal(words: list[str], env: dict[str, str], answers: dict[str, str]) -> str:
    """What the program shows at a terminal where somebody answers its questions."""
    here, there = pty.openpty()
    shown, program = "", [sys.executable, "-m", "catalog_exports", *words]
    with subprocess.Popen(program, stdin=there, stdout=there, stderr=there, start_new_session=True, cwd=ROOT,
                          env={**os.environ, **env}) as process:  # fmt: skip
        os.close(there)
        asked = dict(answers)
        with contextlib.suppress(OSError):  # the end of a terminal
            while text := os.read(here, 4096):
                shown += text.decode()
                for question in [one for one in asked if shown.endswith(f"{one}: ")]:
                    os.write(here, f"{asked.pop(question)}\n".encode())
        process.kill() if asked else process.wait()
        os.close(here)
    assert process.returncode == 0, shown
    assert not asked, shown
    return shown


def test_clock_changes_are_shown(cli: Program) -> None:
    shown = cli("schedules", "preview", "0 12 1 1,7 *", "--timezone", "Europe/Paris", "--count", "2").out
    assert shown.startswith("local time\toffset\tUTC\tnote\n")
    assert "the clock has changed from" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_each_shell(cli: Program, shell: str) -> None:
    shown = cli("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (shown.code, "_CATALOG_EXPORTS_COMPLETE" in shown.out) == (0, True)


@pytest.mark.full  # a process for each command
def test_the_examples_on_the_page_work_as_shown(system: System, tmp_path: Path) -> None:
    products = [("MH01-XS-Black", "Acme", 52.0), ("WB04-M-Red", "Acme", 34.5), ("UG06", "Zen", 7.0)]
    system.fill("page", [{"sku": sku, "brand": brand, "price": price} for sku, brand, price in products])
    with sftp_server(tmp_path / "sftp") as server:
        env = sftp_environment(server)
        check_session(PAGE, checkout(tmp_path, system.key("page")), GATEWAY_PORT=str(system.http_port), **env)
