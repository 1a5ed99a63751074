"""What finds what: labels and selectors, ports from setting to Service, addresses, and what disruptions may take."""

import re
from collections.abc import Iterator, Sequence

from services.chassis.rpc.health import LIVENESS
from tests.unit.k8s.environment_rules import told
from tests.unit.k8s.manifests import (
    NAME,
    PART,
    Manifest,
    names,
    of_kind,
    pods,
    port_of,
    selected,
    services_pods,
    values,
)

LISTENING = {"GRPC_PORT": "grpc", "HEALTH_PORT": "health", "METRICS_PORT": "metrics", "GATEWAY_PORT": "http"}
"""A setting, and the name of the container's port that has to have its number."""
CALLS = {
    "gateway": ("EXPORTER_ADDRESS", "DELIVERY_ADDRESS", "SCHEDULER_ADDRESS"),
    "delivery": ("EXPORTER_ADDRESS",),
    "scheduler": ("EXPORTER_ADDRESS", "DELIVERY_ADDRESS"),
}
ADDRESS = re.compile(r"dns:///([a-z-]+):(\d+)")


def selecting(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Selectors select pods of one workload: its own."""
    for one in of_kind(manifests, "Deployment", "StatefulSet"):
        found = selected(manifests, one["spec"]["selector"]["matchLabels"])
        if [pod.name for pod in found] != [one["metadata"]["name"]]:
            yield f"{one['metadata']['name']} selects {[pod.name for pod in found]}"
    for one in of_kind(manifests, "Service", "PodDisruptionBudget"):
        selector = one["spec"]["selector"]
        found = selected(manifests, selector.get("matchLabels", selector))
        if [pod.name for pod in found] != [one["metadata"]["name"]]:
            yield f"{one['kind']} {one['metadata']['name']} selects {[pod.name for pod in found]}"
    for pod in pods(manifests):
        if pod.labels.get(NAME) != pod.name or pod.labels.get(PART) != "catalog-exports":
            yield f"{pod.name} is labelled {pod.labels}"


def listening(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A port has one number: in the setting, at the container, in the probe; and its workload alone has it."""
    taken: dict[int, str] = {}
    for pod, container, service in services_pods(manifests):
        settings = told(container, manifests, service)
        for variable, name in LISTENING.items():
            number = getattr(settings, variable.lower(), None)
            if number != port_of(container, name):
                yield f"{pod.name}: {variable} is {number}, the port {name} {port_of(container, name)}"
        for entry in container["ports"]:
            other = taken.setdefault(entry["containerPort"], pod.name)
            if other != pod.name:
                yield f"{pod.name} and {other} both listen on {entry['containerPort']}"
        for host in ("grpc_host", "metrics_host", "gateway_host"):
            if getattr(settings, host, "0.0.0.0") != "0.0.0.0":
                yield f"{pod.name} listens on {host} of its own pod only"
        probes = [container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
        if service != "gateway" and any(probe.get("grpc", {}).get("port") != settings.health_port for probe in probes):  # type: ignore[attr-defined]  # all but the gateway's have it
            yield f"{pod.name} is not probed over gRPC on HEALTH_PORT"
        asked = [probe.get("grpc", {}).get("service") or probe.get("httpGet", {}).get("path") for probe in probes]
        if asked not in ([LIVENESS, None, LIVENESS], ["/healthz", "/readyz", "/healthz"]):
            yield f"{pod.name} would be restarted for what is not its fault: it is asked {asked}"


def serving(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A Service's ports are those of its pods; what is called over gRPC is headless, so that every replica is seen."""
    for one in of_kind(manifests, "Service"):
        for pod in selected(manifests, one["spec"]["selector"]):
            for entry in one["spec"]["ports"]:
                found = port_of(pod.spec["containers"][0], entry["targetPort"])
                if found is None or found != entry["port"]:
                    yield f"Service {one['metadata']['name']}: port {entry['port']} leads to {found}"
        if any(entry["name"] == "grpc" for entry in one["spec"]["ports"]) and one["spec"].get("clusterIP") != "None":
            yield f"Service {one['metadata']['name']} would hold its callers to one replica"


def calling(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An address is a headless Service's, on the port on which it serves gRPC."""
    for caller, callee, port in calls(manifests):
        found = [one for one in of_kind(manifests, "Service") if one["metadata"]["name"] == callee]
        if ("grpc", port) not in [(entry["name"], entry["port"]) for one in found for entry in one["spec"]["ports"]]:
            yield f"{caller} calls {callee}:{port}, where nobody serves gRPC"
    for pod, container, caller_service in services_pods(manifests):
        for name in CALLS.get(caller_service, ()):
            if not ADDRESS.fullmatch(values(container).get(name, "")):
                yield f"{pod.name}: {name} does not spread calls over replicas"


def calls(manifests: Sequence[Manifest]) -> Iterator[tuple[str, str, int]]:
    """Who calls whom on which port, as the addresses say."""
    for pod, container, _ in services_pods(manifests):
        for name, value in values(container).items():
            found = ADDRESS.fullmatch(value)
            if name.endswith("_ADDRESS") and found:
                yield pod.name, found[1], int(found[2])


def replaced_gently(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An update takes no replica before another serves, a drained node one at a time, and both are spread."""
    budgets = {one["metadata"]["name"]: one["spec"] for one in of_kind(manifests, "PodDisruptionBudget")}
    ours = {pod.name for pod, _, _ in services_pods(manifests)}
    for one in of_kind(manifests, "Deployment"):
        name = one["metadata"]["name"]
        if name not in ours:
            continue
        if one["spec"]["strategy"].get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"an update of {name} takes a replica before another serves"
        if "revisionHistoryLimit" not in one["spec"]:
            yield f"{name} keeps old versions without end"
        if budgets.get(name, {}).get("maxUnavailable") != 1:
            yield f"{name}: a drained node may take all replicas, or wait for ever"
        spread = one["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
        labels = one["spec"]["template"]["metadata"]["labels"]
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone"):
            fitting = [entry for entry in spread if entry["topologyKey"] == key]
            if not any(entry["labelSelector"]["matchLabels"].items() <= labels.items() for entry in fitting):
                yield f"{name} is not spread over {key}"


def scaling_what_is_there(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An autoscaler's target exists, asks for the resource it is scaled by, and leaves its number to it."""
    for one in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        name = one["metadata"]["name"]
        if target["name"] not in names(manifests, target["kind"]):
            yield f"{name} scales {target['name']}, which is not there"
        for found in of_kind(manifests, target["kind"]):
            if found["metadata"]["name"] == target["name"] and "replicas" in found["spec"]:
                yield f"{name}: every apply would undo its work"


def leading_in(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An Ingress leads to a Service's named port, under the host of PUBLIC_URL, and to no metrics."""
    ports = {
        (one["metadata"]["name"], entry["name"])
        for one in of_kind(manifests, "Service")
        for entry in one["spec"]["ports"]
    }
    hosts = {told(c, manifests, s).public_url for _, c, s in services_pods(manifests) if s == "gateway"}  # type: ignore[attr-defined]  # the gateway's has it
    for one in of_kind(manifests, "Ingress"):
        (rule,) = one["spec"]["rules"]
        if [rule["host"]] != one["spec"]["tls"][0]["hosts"] or {str(h).split("/")[2] for h in hosts} != {rule["host"]}:
            yield f"the Ingress is for {rule['host']}, links for {hosts}"
        for path in rule["http"]["paths"]:
            if (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"]) not in ports:
                yield f"{path['path']} leads nowhere"
            if path["path"] not in ("/api/v1", "/docs"):
                yield f"{path['path']} is not for clients"


RULES = (selecting, listening, serving, calling, replaced_gently, scaling_what_is_there, leading_in)
