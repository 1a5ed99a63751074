"""The images and manifests that a cluster gets, run by podman: what a user does works, with the rights they leave."""

from pathlib import Path

import pytest

from catalog_exports import CatalogExports
from deploy.containers.cluster import Cluster
from deploy.containers.podman import PodmanFailed
from deploy.local.demo.checks.readback import differences
from deploy.local.demo.deliveries import follow, registered
from deploy.local.demo.exports import EXPORTS, fetch
from deploy.local.demo.products.catalogue import Catalogue
from deploy.local.demo.receivers.s3_server import S3Server
from deploy.local.demo.receivers.sftp_server import sftp_server

SERVICES = ("gateway", "exporter", "exporter-worker", "delivery", "scheduler")


def test_every_format_is_exported_and_delivered_and_equals_the_catalogue(
    cluster: Cluster, key: str, catalogue: Catalogue, s3: S3Server, tmp_path: Path
) -> None:
    client = CatalogExports(cluster.url, key)
    with client, sftp_server(tmp_path / "sftp") as sftp, registered(client, [sftp, s3]) as platforms:
        ids = [platform.id for platform in platforms]
        files = [fetch(client, export, ids, tmp_path, lambda _stage, _percent: None) for export in EXPORTS]
        assert len(follow(client, files, platforms)) == len(EXPORTS) * 2
    for file in files:
        assert [str(found) for found in differences(file, catalogue)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_rights_on_a_root_that_it_cannot_write(cluster: Cluster, service: str) -> None:
    assert cluster.run(service, "id", "-u") == "10001"
    status = cluster.run(service, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    cluster.run(service, "touch", "/tmp/written")
    with pytest.raises(PodmanFailed, match="Read-only file system"):
        cluster.run(service, "touch", "/app/written")


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_its_own_services_code_and_no_compiler(cluster: Cluster, service: str) -> None:
    listing = "import os, services; print(*os.listdir(services.__path__[0]))"
    found = set(cluster.run(service, "python", "-c", listing).split()) - {"__init__.py", "__pycache__"}
    assert found == {"chassis", "wire", service.removesuffix("-worker")}
    with pytest.raises(PodmanFailed):
        cluster.run(service, "sh", "-c", "command -v cc gcc")


def test_the_exporter_works_with_its_compiled_transcoders(cluster: Cluster) -> None:
    assert cluster.run("exporter-worker", "python", "-c", "import services.exporter.transcode.compiled") == ""
