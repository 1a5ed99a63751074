"""The demo's deliveries: a failure is reported with file, platform and reason."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catalog_exports import CatalogExports
from catalog_exports.client.models import Platform
from deploy.local.demo import __main__ as program
from deploy.local.demo.deliveries import DeliveryFailed, Destination, follow, registered
from deploy.local.demo.exports import EXPORTS, Exported, fetch
from deploy.local.demo.own_stack import TENANT, own_folder, own_stack
from deploy.local.demo.products.catalogue import made
from deploy.local.demo.products.filling import fill
from deploy.local.demo.receivers.s3_server import S3Server, s3_server
from deploy.local.demo.receivers.sftp_server import SftpServer, sftp_server
from deploy.local.settings import LocalSettings

CSV = EXPORTS[0]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogExports]:
    """The gateway of a demo's stack with a small catalogue."""
    settings = LocalSettings(local_dir=tmp_path_factory.mktemp("local"), mongodb_uri=None, nats_url=None)
    with own_folder(settings, print) as folder, own_stack(settings, folder, print) as stack:
        fill(stack.mongodb_uri, TENANT, made(20, 1))
        with CatalogExports(stack.url, stack.api_key) as client:
            yield client


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path / "sftp") as server:
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@dataclass
class FaultyDestination:
    """A destination with a wrong config or a changed file."""

    real: Destination
    config_changes: dict[str, Any] = field(default_factory=dict)
    ending: bytes = b""

    @property
    def kind(self) -> str:
        return self.real.kind

    def config(self) -> dict[str, Any]:
        return {**self.real.config(), **self.config_changes}

    def content(self, remote: str) -> bytes | None:
        found = self.real.content(remote)
        return None if found is None else found + self.ending


def exported(client: CatalogExports, platform_id: str, folder: Path) -> Exported:
    return fetch(client, CSV, [platform_id], folder, lambda _stage, _percent: None)


def platforms_left(client: CatalogExports) -> list[Platform]:
    return list(client.platforms.list())


@pytest.mark.full
def test_a_delivered_file_is_found_at_the_destination_and_the_platform_is_removed(
    client: CatalogExports, sftp: SftpServer, tmp_path: Path
) -> None:
    with registered(client, [sftp]) as platforms:
        file = exported(client, platforms[0].id, tmp_path)
        [found] = follow(client, [file], platforms)
        assert sftp.content(found.remote) == file.download.path.read_bytes()
        assert sftp.content(f"{found.remote}x") is None
    assert platforms_left(client) == []


@pytest.mark.full
def test_an_unusable_platform_is_reported_before_anything_is_exported(client: CatalogExports, sftp: SftpServer) -> None:
    wrong = FaultyDestination(sftp, {"password": "not this one"})
    with (
        pytest.raises(DeliveryFailed, match=r"^the test of platform sftp failed at step authenticate: .+ \(\w+\)$"),
        registered(client, [wrong]),
    ):
        raise AssertionError("it should not have been registered")
    assert platforms_left(client) == []


@pytest.mark.full
def test_a_failed_delivery_is_reported_with_file_platform_and_reason(
    client: CatalogExports, sftp: SftpServer, tmp_path: Path
) -> None:
    with (
        pytest.raises(DeliveryFailed, match=r"^products\.csv was not delivered to sftp: .+ \(not_a_folder\)$"),
        registered(client, [sftp]) as platforms,
    ):
        shutil.rmtree(tmp_path / "sftp" / "exports")
        (tmp_path / "sftp" / "exports").write_bytes(b"in the way")
        follow(client, [exported(client, platforms[0].id, tmp_path)], platforms)
    assert platforms_left(client) == []


@pytest.mark.full
def test_different_content_at_the_destination_is_detected(client: CatalogExports, s3: S3Server, tmp_path: Path) -> None:
    with (
        pytest.raises(DeliveryFailed, match=r"^products\.csv: s3://demo/exports/.+ on s3 differs from the download"),
        registered(client, [FaultyDestination(s3, ending=b"!")]) as platforms,
    ):
        follow(client, [exported(client, platforms[0].id, tmp_path)], platforms)


@pytest.mark.full
def test_a_delivery_that_never_starts_is_reported_after_the_timeout(
    client: CatalogExports, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.demo.deliveries.DELIVERY_TIMEOUT", 0.3)
    with registered(client, [s3, s3]) as platforms:
        file = exported(client, platforms[0].id, tmp_path)
        with pytest.raises(DeliveryFailed, match=r"^products\.csv was not delivered to s3 within 0 s: not started$"):
            follow(client, [file], platforms[1:])


@pytest.mark.full
def test_a_failed_delivery_ends_the_demo_with_exit_code_1_and_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> None:
        raise DeliveryFailed("products.csv was not delivered to s3: no such bucket (no_such_bucket)")

    monkeypatch.setattr(program, "made_and_delivered", failing)
    monkeypatch.setattr(program, "interruptible", lambda: None)
    monkeypatch.setattr("sys.argv", ["demo", "--products", "1", "--suppliers", "1", "--output", str(tmp_path)])
    assert program.main() == 1
    assert capsys.readouterr().err == "products.csv was not delivered to s3: no such bucket (no_such_bucket)\n"
