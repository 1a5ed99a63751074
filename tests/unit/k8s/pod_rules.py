"""Rules for all pods: no privileges, resource limits, probes, and images with a version."""

import re
from collections.abc import Iterator, Sequence

from tests.unit.k8s.manifests import WORKLOADS, Manifest, Pod, names, of_kind, pods, port_of

Complaints = Iterator[str]

VERSIONED = re.compile(r"[^:@]+(:\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})")
BUILT_HERE = re.compile(r"localhost/catalog-exports/[a-z]+:dev")
PULLED = "IfNotPresent"
VERSION = "app.kubernetes.io/version"
VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
"""The volume types that we use; the restricted Pod Security standard allows more."""


def unprivileged(manifests: Sequence[Manifest]) -> Complaints:
    """The restricted Pod Security standard, and a read-only root file system."""
    for pod in pods(manifests):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") != 10001:
            yield f"{pod.name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name} has no seccomp profile"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} gets a token for the API server"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(field):
                yield f"{pod.name} has {field}"
        for volume in pod.spec.get("volumes", ()):
            if not volume.keys() - {"name"} <= VOLUMES:
                yield f"{pod.name}: a volume of type {volume}"
        for container in pod.containers:
            yield from _unprivileged_container(pod, container)


def _unprivileged_container(pod: Pod, container: Manifest) -> Complaints:
    context = container.get("securityContext", {})
    where = f"{pod.name}/{container['name']}"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{where} can write its root file system"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{where} may gain privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where} keeps capabilities"
    if context.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile"}:
        yield f"{where} overrides the security context of its pod"


def bounded(manifests: Sequence[Manifest]) -> Complaints:
    """Requests and limits for CPU, memory and the node's disk, and a size limit for every emptyDir."""
    for pod in pods(manifests):
        for container in pod.containers:
            for kind in ("requests", "limits"):
                missing = {"cpu", "memory", "ephemeral-storage"} - container.get("resources", {}).get(kind, {}).keys()
                if missing:
                    yield f"{pod.name}/{container['name']} has no {kind} of {', '.join(sorted(missing))}"
        for volume in pod.spec.get("volumes", ()):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{pod.name}: {volume['name']} may fill the node"


def probed(manifests: Sequence[Manifest]) -> Complaints:
    """All pods except Jobs have all three probes, on ports that the container declares."""
    for pod in pods(manifests):
        for container in pod.spec["containers"] if pod.is_long_running else ():
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind)
                if probe is None:
                    yield f"{pod.name} has no {kind}"
                elif "exec" not in probe and port_of(container, _probed(probe)) is None:
                    yield f"{pod.name}: {kind} uses a port that the container does not declare"


def _probed(probe: Manifest) -> str | int:
    (way,) = [probe[kind] for kind in ("grpc", "httpGet", "tcpSocket") if kind in probe]
    port: str | int = way["port"]
    return port


def labelled(manifests: Sequence[Manifest]) -> Complaints:
    """The label of the version is that of the image; a digest or `dev` says nothing of it."""
    for one in of_kind(manifests, *WORKLOADS):
        label = one["metadata"]["labels"].get(VERSION, "")
        (pod,) = pods([one])
        tag = pod.spec["containers"][0]["image"].partition("@")[0].rpartition(":")[2]
        if label != tag and not (tag == "dev" and re.fullmatch(r"\d+\.\d+\.\d+", label)):
            yield f"{pod.name} has the image {tag}, but is labelled {label!r}"


def preferred_to_other_pods(manifests: Sequence[Manifest]) -> Complaints:
    """If there are PriorityClasses, every workload that runs all the time has one of them."""
    classes = names(manifests, "PriorityClass")
    for pod in pods(manifests):
        if classes and pod.is_long_running and pod.spec.get("priorityClassName") not in classes:
            yield f"{pod.name} has the priority class {pod.spec.get('priorityClassName')}"


def versioned(manifests: Sequence[Manifest]) -> Complaints:
    """Images have a version tag or a digest; `dev` is allowed for images that are built locally."""
    for pod in pods(manifests):
        for container in pod.containers:
            image = container["image"]
            if not VERSIONED.fullmatch(image) and not BUILT_HERE.fullmatch(image):
                yield f"{pod.name}: {image} has no version"
            if container.get("imagePullPolicy") != PULLED:
                yield f"{pod.name}: {image} is not pulled {PULLED}"


def with_writable_folders(manifests: Sequence[Manifest]) -> Complaints:
    """Every mount has a volume, and services have a writable /tmp beside the read-only root."""
    for pod in pods(manifests):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", ())}
        if pod.kind == "StatefulSet":
            volumes.add("data")
        for container in pod.containers:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{pod.name}: there is no volume {mount['name']}"
        mounts = [mount["mountPath"] for mount in pod.spec["containers"][0].get("volumeMounts", ())]
        if "catalog-exports/" in pod.spec["containers"][0]["image"] and pod.is_long_running and "/tmp" not in mounts:
            yield f"{pod.name} has no /tmp"
        if len(mounts) != len(set(mounts)):
            yield f"{pod.name} mounts two volumes at one path"


RULES = (unprivileged, bounded, probed, versioned, labelled, preferred_to_other_pods, with_writable_folders)
