"""Queries on manifests for the rules: pods, containers, ports, variables and objects by kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.release.job_names import HASHED

Manifest = dict[str, Any]
"""One rendered object as parsed from YAML; the tests check its fields."""

NAME = "app.kubernetes.io/name"
PART = "app.kubernetes.io/part-of"
WITHOUT_NAMESPACE = ("Namespace", "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod template of a workload."""

    kind: str
    name: str
    """Without the hash of a Job."""
    labels: dict[str, str]
    spec: Manifest

    @property
    def containers(self) -> list[Manifest]:
        """All containers, including init containers."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def is_long_running(self) -> bool:
        """Whether it runs until it is stopped, unlike a Job or CronJob."""
        return self.kind not in ("Job", "CronJob")


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (one for one in manifests if one["kind"] in kinds)


def names(manifests: Sequence[Manifest], *kinds: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(manifests, *kinds)}


def pods(manifests: Sequence[Manifest]) -> Iterator[Pod]:
    for one in of_kind(manifests, *WORKLOADS):
        spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
        template = spec["template"]
        name = one["metadata"]["name"]
        if one["kind"] == "Job":
            name = HASHED.sub("", name)
        yield Pod(one["kind"], name, template["metadata"]["labels"], template["spec"])


def services_pods(manifests: Sequence[Manifest]) -> Iterator[tuple[Pod, Manifest, str]]:
    """The pods that run our services, with their container and the name of the service."""
    for pod in pods(manifests):
        service = service_of(pod.spec["containers"][0]["image"])
        if pod.kind == "Deployment" and service is not None:
            yield pod, pod.spec["containers"][0], service


def service_of(image: str) -> str | None:
    """The service in one of our images; None for other images."""
    path = image.rsplit("@", 1)[0].rsplit(":", 1)[0]
    return path.rsplit("/", 1)[-1] if "catalog-exports/" in path else None


def values(container: Manifest) -> dict[str, str]:
    """The variables whose values are written in the manifest."""
    return {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}


def written(container: Manifest, manifests: Sequence[Manifest]) -> dict[str, str]:
    """The variables whose values are in the manifest, or a single key of a ConfigMap."""
    found = values(container)
    for entry in container.get("env", ()):
        source = entry.get("valueFrom", {}).get("configMapKeyRef")
        if source:
            found[entry["name"]] = config(manifests, source["name"]).get(source["key"], "")
    return found


def env_names(container: Manifest, manifests: Sequence[Manifest]) -> list[str]:
    """The names of all variables, including those from ConfigMaps."""
    found = [entry["name"] for entry in container.get("env", ())]
    for source in container.get("envFrom", ()):
        found += config(manifests, source.get("configMapRef", {}).get("name"))
    return found


def shared(container: Manifest, manifests: Sequence[Manifest]) -> dict[str, str]:
    """The variables that come from whole ConfigMaps."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= config(manifests, source.get("configMapRef", {}).get("name"))
    return found


def config(manifests: Sequence[Manifest], name: str | None) -> dict[str, str]:
    """The data of a ConfigMap; empty if it does not exist."""
    for one in of_kind(manifests, "ConfigMap"):
        if one["metadata"]["name"] == name:
            return dict(one.get("data", {}))
    return {}


def port_of(container: Manifest, port: str | int) -> int | None:
    """The number of a container's port, given its name or number; None if it does not exist."""
    for entry in container.get("ports", ()):
        if port in (entry["name"], entry["containerPort"]):
            return int(entry["containerPort"])
    return None


def selected(manifests: Sequence[Manifest], labels: dict[str, str]) -> list[Pod]:
    """The pods with all these labels."""
    return [pod for pod in pods(manifests) if labels and labels.items() <= pod.labels.items()]
