"""What of the manifests podman is given, and how: which objects and fields it cannot play, and why. Pure."""

import base64
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.containers.manifests import Manifest

PREFIX = "catalog-exports-"
"""Of everything in podman that is ours."""
OWNER = "10001"
"""The uid and gid of all pods; podman has no fsGroup, its volumes have an owner."""
EVERYWHERE = "0.0.0.0"  # what the manifests say; here it becomes the pod's own address

# Objects that are not played.
LEFT_OUT: Mapping[str, str] = {
    "Namespace": "podman has none; the names of what is ours begin with catalog-exports- instead",
    "Service": "podman gives no names and no cluster IPs on a host's network; names.py and front.py stand in",
    "ServiceAccount": "there is no API server to be an account of",
    "PodDisruptionBudget": "nobody drains this machine",
}
# Fields of a pod's spec that are not played.
LEFT_OUT_OF_PODS: Mapping[str, str] = {
    "serviceAccountName": "as ServiceAccount",
    "topologySpreadConstraints": "there is one node",
}
# Fields of a container that are not played.
LEFT_OUT_OF_CONTAINERS: Mapping[str, str] = {
    "startupProbe": "podman's probes run inside the container and need curl there; probes.py asks from outside",
    "livenessProbe": "as startupProbe",
    "readinessProbe": "as startupProbe",
    "lifecycle": "podman 4 knows no hooks",
    "ports": "they are the host's already, and podman refuses to map them then",
}
# Listening on every address of the machine becomes listening on the pod's, as it has no network of its own.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "--bind_ip_all": ("--bind_ip={address}",),
    "nats-server": ("nats-server", "--addr={address}"),
}


class Unplayable(Exception):
    """An object that nobody has decided about; LEFT_OUT, or playable.py itself, has to."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or Job whose pods are played."""

    name: str
    template: Manifest
    is_job: bool

    @property
    def grace(self) -> int:
        """Seconds from SIGTERM to SIGKILL; podman 4.3 takes them from its command line only."""
        return int(self.template["spec"].get("terminationGracePeriodSeconds", 30))

    @property
    def container(self) -> Manifest:
        """The one container of a pod."""
        [container] = self.template["spec"]["containers"]
        return dict(container)


@dataclass(frozen=True, slots=True)
class Playable:
    """The overlay as podman gets it: volumes and settings, which pods refer to, and the workloads."""

    volumes: Sequence[Manifest]
    settings: Sequence[Manifest]
    workloads: Mapping[str, Workload]


def playable(manifests: Iterable[Manifest]) -> Playable:
    """Sort the objects.

    Raises:
        Unplayable: a kind that is not known here.
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
    """A ConfigMap; a Secret becomes one too, as podman before 4.4 cannot read what it has stored for a Secret."""
    values = dict(manifest.get("data", {}))
    if manifest["kind"] == "Secret":
        values = {key: base64.b64decode(value).decode() for key, value in values.items()}
    name = PREFIX + manifest["metadata"]["name"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": values}


def pod(workload: Workload, name: str, address: str, hosts: str, images: Mapping[str, str]) -> Manifest:
    """A pod of the workload on the host's network.

    Args:
        address: of this machine, where the pod listens; all ports differ, so two addresses are enough for everything.
        hosts: a file of this machine that tells the pod which name is where.
        images: what to take instead of an image.
    """
    spec = _without(copy.deepcopy(workload.template["spec"]), LEFT_OUT_OF_PODS)
    spec["containers"] = [_container(each, address, images) for each in spec["containers"]]
    spec["volumes"] = [_mounted(each, name) for each in spec.get("volumes", [])]
    for container in spec["containers"]:
        for mount in container.get("volumeMounts", []):
            mount["name"] = f"{name}-{mount['name']}"
        # podman has hostAliases for networks of its own only.
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
    """podman makes a volume of each, under this name or its ConfigMap's, for all pods: so these are our own."""
    made = {**volume, "name": f"{pod_name}-{volume['name']}"}
    if "configMap" in volume:
        made["configMap"] = _ours(volume["configMap"])
    if claim := volume.get("persistentVolumeClaim"):
        made["persistentVolumeClaim"] = {**claim, "claimName": PREFIX + claim["claimName"]}
    return made


def _ours(reference: Mapping[str, Any]) -> dict[str, Any]:
    """To a ConfigMap of ours, made by `_settings`."""
    return {**reference, "name": PREFIX + reference["name"]}


def _without(fields: Mapping[str, Any], left_out: Mapping[str, str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in left_out}
