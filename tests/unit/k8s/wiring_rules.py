"""Rules for references between objects: selectors, ports, addresses, disruption budgets, autoscalers and Ingresses."""

import re
from collections.abc import Iterator, Sequence

from services.chassis.rpc.health import LIVENESS
from tests.unit.k8s.environment_rules import settings_of
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
    written,
)

LISTENING = {"GRPC_PORT": "grpc", "HEALTH_PORT": "health", "METRICS_PORT": "metrics", "GATEWAY_PORT": "http"}
"""The name of the container's port that must have the number in this setting."""
CALLS = {
    "gateway": ("EXPORTER_ADDRESS", "DELIVERY_ADDRESS", "SCHEDULER_ADDRESS"),
    "delivery": ("EXPORTER_ADDRESS",),
    "scheduler": ("EXPORTER_ADDRESS", "DELIVERY_ADDRESS"),
}
ADDRESS = re.compile(r"dns:///([a-z-]+):(\d+)")


def with_matching_selectors(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Every selector selects the pods of its own workload and no others."""
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


def with_matching_ports(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Setting, container and probe agree on the number of a port, and no other workload uses it."""
    taken: dict[int, str] = {}
    for pod, container, service in services_pods(manifests):
        settings = settings_of(container, manifests, service)
        for variable, name in LISTENING.items():
            number = getattr(settings, variable.lower(), None)
            if number != port_of(container, name):
                yield f"{pod.name}: {variable} is {number}, but the port {name} is {port_of(container, name)}"
        for entry in container["ports"]:
            other = taken.setdefault(entry["containerPort"], pod.name)
            if other != pod.name:
                yield f"{pod.name} and {other} both listen on {entry['containerPort']}"
        for host in ("grpc_host", "metrics_host", "gateway_host"):
            if getattr(settings, host, "0.0.0.0") != "0.0.0.0":
                yield f"{pod.name} does not listen on all addresses: {host}"
        probes = [container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
        if service != "gateway" and any(probe.get("grpc", {}).get("port") != settings.health_port for probe in probes):  # type: ignore[attr-defined]  # all but the gateway's have it
            yield f"{pod.name} is not probed over gRPC on HEALTH_PORT"
        asked = [probe.get("grpc", {}).get("service") or probe.get("httpGet", {}).get("path") for probe in probes]
        if asked not in ([LIVENESS, None, LIVENESS], ["/healthz", "/readyz", "/healthz"]):
            yield f"{pod.name} would be restarted because of failures elsewhere: its probes are {asked}"


def with_service_ports(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A Service has the ports of its pods; gRPC Services are headless, so that callers see every replica."""
    for one in of_kind(manifests, "Service"):
        for pod in selected(manifests, one["spec"]["selector"]):
            for entry in one["spec"]["ports"]:
                found = port_of(pod.spec["containers"][0], entry["targetPort"])
                if found is None or found != entry["port"]:
                    yield f"Service {one['metadata']['name']}: port {entry['port']} leads to {found}"
        if any(entry["name"] == "grpc" for entry in one["spec"]["ports"]) and one["spec"].get("clusterIP") != "None":
            yield f"Service {one['metadata']['name']} would send all calls of a client to one replica"


def with_grpc_addresses(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Every address is that of a headless Service and of its gRPC port."""
    for caller, callee, port in calls(manifests):
        found = [one for one in of_kind(manifests, "Service") if one["metadata"]["name"] == callee]
        if ("grpc", port) not in [(entry["name"], entry["port"]) for one in found for entry in one["spec"]["ports"]]:
            yield f"{caller} calls {callee}:{port}, which is not a gRPC port"
    for pod, container, caller_service in services_pods(manifests):
        for name in CALLS.get(caller_service, ()):
            if not ADDRESS.fullmatch(written(container, manifests).get(name, "")):
                yield f"{pod.name}: {name} does not distribute calls over replicas"


def calls(manifests: Sequence[Manifest]) -> Iterator[tuple[str, str, int]]:
    """Caller, called Service and port, according to the addresses."""
    for pod, container, _ in services_pods(manifests):
        for name, value in written(container, manifests).items():
            found = ADDRESS.fullmatch(value)
            if name.endswith("_ADDRESS") and found:
                yield pod.name, found[1], int(found[2])


def updated_without_downtime(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Updates and drained nodes leave enough replicas running, and replicas are spread over nodes and zones."""
    budgets = {one["metadata"]["name"]: one["spec"] for one in of_kind(manifests, "PodDisruptionBudget")}
    ours = {pod.name for pod, _, _ in services_pods(manifests)}
    for one in of_kind(manifests, "Deployment"):
        name = one["metadata"]["name"]
        if name not in ours:
            continue
        if one["spec"]["strategy"].get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"an update of {name} stops a replica before a new one is ready"
        if "revisionHistoryLimit" not in one["spec"]:
            yield f"{name} has no limit for old revisions"
        if budgets.get(name, {}).get("maxUnavailable") != 1:
            yield f"{name}: draining a node may stop all replicas, or wait forever"
        spread = one["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
        labels = one["spec"]["template"]["metadata"]["labels"]
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone"):
            fitting = [entry for entry in spread if entry["topologyKey"] == key]
            if not any(entry["labelSelector"]["matchLabels"].items() <= labels.items() for entry in fitting):
                yield f"{name} is not spread over {key}"


def with_existing_scale_targets(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The target of an autoscaler exists and does not set `replicas` itself."""
    for one in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        name = one["metadata"]["name"]
        if target["name"] not in names(manifests, target["kind"]):
            yield f"{name} scales {target['name']}, which does not exist"
        for found in of_kind(manifests, target["kind"]):
            if found["metadata"]["name"] == target["name"] and "replicas" in found["spec"]:
                yield f"{name}: every apply would reset the number of replicas"


def with_public_ingress(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An Ingress routes the public paths to a Service, has the host of PUBLIC_URL, and does not expose metrics."""
    ports = {
        (one["metadata"]["name"], entry["name"])
        for one in of_kind(manifests, "Service")
        for entry in one["spec"]["ports"]
    }
    hosts = {settings_of(c, manifests, s).public_url for _, c, s in services_pods(manifests) if s == "gateway"}  # type: ignore[attr-defined]  # the gateway's has it
    for one in of_kind(manifests, "Ingress"):
        (rule,) = one["spec"]["rules"]
        if [rule["host"]] != one["spec"]["tls"][0]["hosts"] or {str(h).split("/")[2] for h in hosts} != {rule["host"]}:
            yield f"the host of the Ingress is {rule['host']}, but links use {hosts}"
        for path in rule["http"]["paths"]:
            if (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"]) not in ports:
                yield f"{path['path']} has no backend"
            if path["path"] not in ("/api/v1", "/docs"):
                yield f"{path['path']} must not be public"


RULES = (
    with_matching_selectors,
    with_matching_ports,
    with_service_ports,
    with_grpc_addresses,
    updated_without_downtime,
    with_existing_scale_targets,
    with_public_ingress,
)
