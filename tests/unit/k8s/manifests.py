"""Manifests as the rules look at them: what runs in pods, and what objects there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
"""One object of a rendering, as YAML has it: the subject of these tests is its very fields."""

NAME = "app.kubernetes.io/name"
PART = "app.kubernetes.io/part-of"
WORKLOADS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True, slots=True)
class Pod:
    """What a workload makes pods from."""

    kind: str
    name: str
    labels: dict[str, str]
    spec: Manifest

    @property
    def containers(self) -> list[Manifest]:
        """All of them, also those that run before the others."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def lasting(self) -> bool:
        """Whether it serves until it is told to stop, and not only until it is done."""
        return self.kind != "Job"


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (one for one in manifests if one["kind"] in kinds)


def names(manifests: Sequence[Manifest], *kinds: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(manifests, *kinds)}


def pods(manifests: Sequence[Manifest]) -> Iterator[Pod]:
    for one in of_kind(manifests, *WORKLOADS):
        template = one["spec"]["template"]
        yield Pod(one["kind"], one["metadata"]["name"], template["metadata"]["labels"], template["spec"])


def services_pods(manifests: Sequence[Manifest]) -> Iterator[tuple[Pod, Manifest, str]]:
    """Each pod that runs a service of ours, its container, and the service's name."""
    for pod in pods(manifests):
        service = service_of(pod.spec["containers"][0]["image"])
        if pod.kind == "Deployment" and service is not None:
            yield pod, pod.spec["containers"][0], service


def service_of(image: str) -> str | None:
    """The service an image of ours holds."""
    path = image.rsplit("@", 1)[0].rsplit(":", 1)[0]
    return path.rsplit("/", 1)[-1] if "catalog-exports/" in path else None


def values(container: Manifest) -> dict[str, str]:
    """The variables whose values are in the manifest."""
    return {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}


def env_names(container: Manifest, manifests: Sequence[Manifest]) -> list[str]:
    """The names of all variables, those of whole ConfigMaps too."""
    found = [entry["name"] for entry in container.get("env", ())]
    for source in container.get("envFrom", ()):
        found += config(manifests, source.get("configMapRef", {}).get("name"))
    return found


def shared(container: Manifest, manifests: Sequence[Manifest]) -> dict[str, str]:
    """The variables of whole ConfigMaps."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= config(manifests, source.get("configMapRef", {}).get("name"))
    return found


def config(manifests: Sequence[Manifest], name: str | None) -> dict[str, str]:
    """What a ConfigMap holds; nothing when there is none of that name."""
    for one in of_kind(manifests, "ConfigMap"):
        if one["metadata"]["name"] == name:
            return dict(one.get("data", {}))
    return {}


def port_of(container: Manifest, port: str | int) -> int | None:
    """The number of a container's port by name or number; None when it has none such."""
    for entry in container.get("ports", ()):
        if port in (entry["name"], entry["containerPort"]):
            return int(entry["containerPort"])
    return None


def selected(manifests: Sequence[Manifest], labels: dict[str, str]) -> list[Pod]:
    """The pods that carry all these labels."""
    return [pod for pod in pods(manifests) if labels and labels.items() <= pod.labels.items()]
