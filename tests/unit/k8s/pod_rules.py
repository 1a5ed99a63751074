"""What every pod has to be: without rights, bounded, looked after, and of a version that can be named."""

import re
from collections.abc import Iterator, Sequence

from tests.unit.k8s.manifests import Manifest, Pod, pods, port_of

Complaints = Iterator[str]

VERSIONED = re.compile(r"[^:@]+(:\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})")
BUILT_HERE = re.compile(r"localhost/catalog-exports/[a-z]+:dev")
PULLED = "IfNotPresent"
VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
"""Of those that restricted Pod Security allows, the ones we need."""


def without_rights(manifests: Sequence[Manifest]) -> Complaints:
    """The restricted Pod Security standard, and a root file system that nobody can write."""
    for pod in pods(manifests):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") != 10001:
            yield f"{pod.name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name} has no seccomp profile"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} is given a token of the API server"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(field):
                yield f"{pod.name} has {field}"
        for volume in pod.spec.get("volumes", ()):
            if not volume.keys() - {"name"} <= VOLUMES:
                yield f"{pod.name}: a volume of type {volume}"
        for container in pod.containers:
            yield from _container_without_rights(pod, container)


def _container_without_rights(pod: Pod, container: Manifest) -> Complaints:
    context = container.get("securityContext", {})
    where = f"{pod.name}/{container['name']}"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{where} can write its root file system"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{where} may gain rights"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where} keeps capabilities"
    if context.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile"}:
        yield f"{where} overrides what its pod says"


def bounded(manifests: Sequence[Manifest]) -> Complaints:
    """Requests and limits of both, and of every folder in memory or on the node."""
    for pod in pods(manifests):
        for container in pod.containers:
            for kind in ("requests", "limits"):
                missing = {"cpu", "memory"} - container.get("resources", {}).get(kind, {}).keys()
                if missing:
                    yield f"{pod.name}/{container['name']} has no {kind} of {', '.join(sorted(missing))}"
        for volume in pod.spec.get("volumes", ()):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{pod.name}: {volume['name']} may fill the node"


def looked_after(manifests: Sequence[Manifest]) -> Complaints:
    """All three probes of what lasts, at ports the container has."""
    for pod in pods(manifests):
        for container in pod.spec["containers"] if pod.lasting else ():
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind)
                if probe is None:
                    yield f"{pod.name} has no {kind}"
                elif port_of(container, _probed(probe)) is None:
                    yield f"{pod.name}: {kind} asks a port that the container does not have"


def _probed(probe: Manifest) -> str | int:
    (way,) = [probe[kind] for kind in ("grpc", "httpGet", "tcpSocket") if kind in probe]
    port: str | int = way["port"]
    return port


def of_a_version(manifests: Sequence[Manifest]) -> Complaints:
    """A tag that names one version, or a digest; `latest` is neither, nor is no tag. Built here: `dev`."""
    for pod in pods(manifests):
        for container in pod.containers:
            image = container["image"]
            if not VERSIONED.fullmatch(image) and not BUILT_HERE.fullmatch(image):
                yield f"{pod.name}: {image} names no version"
            if container.get("imagePullPolicy") != PULLED:
                yield f"{pod.name}: {image} is not pulled {PULLED}"


def writing_where_it_may(manifests: Sequence[Manifest]) -> Complaints:
    """With a root that is read-only, programs need a /tmp, and mounts need volumes."""
    for pod in pods(manifests):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", ())}
        if pod.kind == "StatefulSet":
            volumes.add("data")
        for container in pod.containers:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{pod.name}: there is no volume {mount['name']}"
        mounts = [mount["mountPath"] for mount in pod.spec["containers"][0].get("volumeMounts", ())]
        if "catalog-exports/" in pod.spec["containers"][0]["image"] and pod.lasting and "/tmp" not in mounts:
            yield f"{pod.name} has no /tmp"
        if len(mounts) != len(set(mounts)):
            yield f"{pod.name} mounts two volumes at one place"


RULES = (without_rights, bounded, looked_after, of_a_version, writing_where_it_may)
