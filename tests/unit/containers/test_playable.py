"""The manifests for podman: every object of the overlay is either used or left out explicitly."""

from typing import Any

import pytest

from deploy.containers.manifests import rendered
from deploy.containers.playable import (
    LEFT_OUT,
    LEFT_OUT_OF_CONTAINERS,
    LEFT_OUT_OF_PODS,
    Playable,
    Unplayable,
    playable,
    pod,
)

ADDRESS = "127.0.0.3"


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return rendered()


@pytest.fixture(scope="module")
def overlay(manifests: list[dict[str, Any]]) -> Playable:
    return playable(manifests)


def played(overlay: Playable, workload: str) -> dict[str, Any]:
    return pod(overlay.workloads[workload], f"{workload}-2", ADDRESS, "/somewhere/hosts", {})


def container(overlay: Playable, workload: str) -> dict[str, Any]:
    [only] = played(overlay, workload)["spec"]["containers"]
    return dict(only)


def environment(overlay: Playable, workload: str) -> dict[str, Any]:
    return {variable["name"]: variable for variable in container(overlay, workload)["env"]}


def test_every_workload_of_the_overlay_is_played(manifests: list[dict[str, Any]], overlay: Playable) -> None:
    wanted = {one["metadata"]["name"] for one in manifests if one["kind"] in ("Deployment", "Job")}
    assert set(overlay.workloads) == wanted
    assert {"gateway", "exporter", "exporter-worker", "delivery", "scheduler", "mongodb", "nats"} <= wanted


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(Unplayable, match="CronJob nightly"):
        playable([{"kind": "CronJob", "metadata": {"name": "nightly"}}])


def test_everything_that_is_left_out_exists_in_the_overlay(manifests: list[dict[str, Any]]) -> None:
    assert set(LEFT_OUT) <= {one["kind"] for one in manifests}
    specs = [one["spec"]["template"]["spec"] for one in manifests if one["kind"] == "Deployment"]
    assert set(LEFT_OUT_OF_PODS) <= {field for spec in specs for field in spec}


@pytest.mark.parametrize(
    "workload", ["gateway", "exporter", "exporter-worker", "delivery", "scheduler", "mongodb", "nats"]
)
def test_a_pod_has_the_security_context_and_limits_of_the_manifest(overlay: Playable, workload: str) -> None:
    before = overlay.workloads[workload]
    spec, only = played(overlay, workload)["spec"], container(overlay, workload)
    assert spec["securityContext"] == before.template["spec"]["securityContext"]
    for field in ("securityContext", "resources", "image"):
        assert only[field] == before.container[field]
    assert not set(only) & set(LEFT_OUT_OF_CONTAINERS)


def test_a_pod_listens_on_its_own_address_only(overlay: Playable) -> None:
    for workload, variable in (("gateway", "GATEWAY_HOST"), ("exporter", "GRPC_HOST"), ("delivery", "METRICS_HOST")):
        assert environment(overlay, workload)[variable]["value"] == ADDRESS
    assert f"--bind_ip={ADDRESS}" in container(overlay, "mongodb")["command"]
    assert "--bind_ip_all" not in container(overlay, "mongodb")["command"]
    assert container(overlay, "nats")["command"][:2] == ["nats-server", f"--addr={ADDRESS}"]


def test_secrets_are_passed_decoded_and_by_reference(overlay: Playable) -> None:
    reference = environment(overlay, "gateway")["MONGODB_URI"]["valueFrom"]["configMapKeyRef"]
    [settings] = [one for one in overlay.settings if one["metadata"]["name"] == reference["name"]]
    assert settings["data"][reference["key"]] == "mongodb://mongodb:27017/?replicaSet=rs0"


def test_volumes_belong_to_the_pod_or_are_shared_by_the_name_of_their_claim(overlay: Playable) -> None:
    volumes = {volume["name"]: volume for volume in played(overlay, "exporter")["spec"]["volumes"]}
    assert "emptyDir" in volumes["exporter-2-tmp"]
    assert volumes["exporter-2-artifacts"]["persistentVolumeClaim"]["claimName"] == "catalog-exports-artifacts"
    assert "catalog-exports-artifacts" in {one["metadata"]["name"] for one in overlay.volumes}
    mounts = {mount["mountPath"]: mount["name"] for mount in container(overlay, "exporter")["volumeMounts"]}
    assert set(mounts.values()) == set(volumes)
    assert mounts["/etc/hosts"] == "exporter-2-hosts"


def test_an_image_is_replaced_by_its_stand_in(overlay: Playable) -> None:
    workload = overlay.workloads["mongodb"]
    images = {workload.container["image"]: "stand-in", "another": "image"}
    [only] = pod(workload, "mongodb-1", ADDRESS, "/somewhere/hosts", images)["spec"]["containers"]
    assert only["image"] == "stand-in"


def test_making_a_pod_does_not_change_the_workload(overlay: Playable) -> None:
    assert played(overlay, "gateway") == played(overlay, "gateway")
