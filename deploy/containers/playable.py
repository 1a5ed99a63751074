"""Converts the manifests for podman, and lists the objects and fields it cannot play, with reasons. No I/O."""

import base64
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.containers.manifests import Manifest

PREFIX = "catalog-exports-"
"""Prefix of all our names in podman."""
OWNER = "10001"
"""The uid and gid of all pods. podman has no fsGroup; its volumes have an owner instead."""
EVERYWHERE = "0.0.0.0"  # replaced by the pod's own address

# Objects that are left out.
LEFT_OUT: Mapping[str, str] = {
    "Namespace": "podman has none; our names start with catalog-exports- instead",
    "Service": "a host network has no names and cluster IPs; names.py and front.py replace them",
    "ServiceAccount": "there is no API server",
    "PodDisruptionBudget": "this machine is never drained",
}
# Fields of a pod's spec that are left out.
LEFT_OUT_OF_PODS: Mapping[str, str] = {
    "serviceAccountName": "see ServiceAccount",
    "topologySpreadConstraints": "there is one node",
}
# Fields of a container that are left out.
LEFT_OUT_OF_CONTAINERS: Mapping[str, str] = {
    "startupProbe": "podman runs probes inside the container with curl; probes.py checks from outside instead",
    "livenessProbe": "see startupProbe",
    "readinessProbe": "see startupProbe",
    "lifecycle": "podman 4 does not support hooks",
    "ports": "the pods use the host's network, where podman refuses to map ports",
}
# Pods share the host's network, so they listen on the pod's address instead of on all addresses.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "--bind_ip_all": ("--bind_ip={address}",),
    "nats-server": ("nats-server", "--addr={address}"),
}


class Unplayable(Exception):
    """An object of an unknown kind: add it to LEFT_OUT or to `playable`."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or Job."""

    name: str
    template: Manifest
    is_job: bool

    @property
    def grace(self) -> int:
        """Seconds from SIGTERM to SIGKILL. podman 4.3 only accepts them on its command line."""
        return int(self.template["spec"].get("terminationGracePeriodSeconds", 30))

    @property
    def container(self) -> Manifest:
        """The only container of a pod."""
        [container] = self.template["spec"]["containers"]
        return dict(container)


@dataclass(frozen=True, slots=True)
class Playable:
    """The overlay for podman: the volumes and settings that pods refer to, and the workloads."""

    volumes: Sequence[Manifest]
    settings: Sequence[Manifest]
    workloads: Mapping[str, Workload]


def playable(manifests: Iterable[Manifest]) -> Playable:
    """Sort the objects by kind.

    Raises:
        Unplayable: the kind is unknown.
    """
    volumes, settings, workloads = [], [], {}
    for manifest in manifests:
        name, kind = manifest["metadata"]["name"], manifest["kind"]
        if kind in ("Deployment", "Job"):
            workloads[name] = Workload(name, manifest["spec"]["template"], kind == "Job")
        elif kind == "PersistentVolumeClaim":
            volumes.append(_volume(manifest))
        elif kind in ("ConfigMap", "Secret"):
            settings.append(_settings(manifest))
        elif kind not in LEFT_OUT:
            raise Unplayable(f"{kind} {name}")
    return Playable(volumes, settings, workloads)


def _volume(claim: Manifest) -> Manifest:
    owner = {"volume.podman.io/uid": OWNER, "volume.podman.io/gid": OWNER}
    return {**claim, "metadata": {"name": PREFIX + claim["metadata"]["name"], "annotations": owner}}


def _settings(manifest: Manifest) -> Manifest:
    """A ConfigMap. Secrets become ConfigMaps too, because podman before 4.4 cannot read its own Secrets."""
    values = dict(manifest.get("data", {}))
    if manifest["kind"] == "Secret":
        values = {key: base64.b64decode(value).decode() for key, value in values.items()}
    name = PREFIX + manifest["metadata"]["name"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": values}


def pod(workload: Workload, name: str, address: str, hosts: str, images: Mapping[str, str]) -> Manifest:
    """The manifest of a pod of the workload on the host's network.

    Args:
        address: address of this machine that the pod listens on. All ports differ, so two addresses are enough.
        hosts: path of the hosts file on this machine.
        images: replacements by image name.
    """
    spec = _without(copy.deepcopy(workload.template["spec"]), LEFT_OUT_OF_PODS)
    spec["containers"] = [_container(each, address, images) for each in spec["containers"]]
    spec["volumes"] = [_mounted(each, name) for each in spec.get("volumes", [])]
    for container in spec["containers"]:
        for mount in container.get("volumeMounts", []):
            mount["name"] = f"{name}-{mount['name']}"
        # podman supports hostAliases only for its own networks.
        mounts = container.setdefault("volumeMounts", [])
        mounts.append({"name": f"{name}-hosts", "mountPath": "/etc/hosts", "readOnly": True})
    spec["volumes"].append({"name": f"{name}-hosts", "hostPath": {"path": hosts, "type": "File"}})
    labels = workload.template["metadata"]["labels"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _container(container: Manifest, address: str, images: Mapping[str, str]) -> Manifest:
    made = _without(container, LEFT_OUT_OF_CONTAINERS)
    made["image"] = images.get(container["image"], container["image"])
    if "command" in made:
        changed = (COMMANDS.get(word, (word,)) for word in made["command"])
        made["command"] = [word.format(address=address) for words in changed for word in words]
    for variable in made.get("env", []):
        if variable.get("value") == EVERYWHERE:
            variable["value"] = address
        if "valueFrom" in variable:
            variable["valueFrom"] = {"configMapKeyRef": _ours(next(iter(variable["valueFrom"].values())))}
    if "envFrom" in made:
        made["envFrom"] = [{"configMapRef": _ours(next(iter(source.values())))} for source in made["envFrom"]]
    return made


def _mounted(volume: Manifest, pod_name: str) -> Manifest:
    """podman creates volumes for all pods under this name or the ConfigMap's, so both get our prefix."""
    made = {**volume, "name": f"{pod_name}-{volume['name']}"}
    if "configMap" in volume:
        made["configMap"] = _ours(volume["configMap"])
    if claim := volume.get("persistentVolumeClaim"):
        made["persistentVolumeClaim"] = {**claim, "claimName": PREFIX + claim["claimName"]}
    return made


def _ours(reference: Mapping[str, Any]) -> dict[str, Any]:
    """A reference to a ConfigMap made by `_settings`."""
    return {**reference, "name": PREFIX + reference["name"]}


def _without(fields: Mapping[str, Any], left_out: Mapping[str, str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in left_out}
