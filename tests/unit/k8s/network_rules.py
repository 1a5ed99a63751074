"""Rules for network policies: they allow exactly the connections that are needed, at both ends."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from tests.unit.k8s.manifests import NAME, Manifest, Pod, env_names, of_kind, pods, services_pods
from tests.unit.k8s.wiring_rules import calls

Flow = tuple[str, str, int]
"""From a workload, to a workload, on a port."""

DATA = {
    "MONGODB_URI": ("mongodb", 27017),
    "GATEWAY_MONGODB_URI": ("mongodb", 27017),
    "BACKUP_MONGODB_URI": ("mongodb", 27017),
    "NATS_URL": ("nats", 4222),
}
EXPORTERS = {"mongodb-exporter": 9216, "nats-exporter": 7777}
"""Where Prometheus reads the metrics of other servers."""
SCRAPED = {"nats-exporter": ("nats", 8222)}
"""What an exporter asks whose addresses are arguments."""
# Metadata services: AWS, Google and Azure; Alibaba; Azure's host; Oracle; and the IPv6 addresses of AWS and Google.
METADATA = ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")


def needed(manifests: Sequence[Manifest]) -> set[Flow]:
    """Flows within the namespace: those of addresses, URIs and exporters, and those between members of a cluster."""
    found = set(calls(manifests))
    for pod in pods(manifests):
        for container in pod.containers:
            for name in env_names(container, manifests):
                if name in DATA:
                    found.add((pod.name, *DATA[name]))
        if pod.name in SCRAPED:
            found.add((pod.name, *SCRAPED[pod.name]))
    return found | {("mongodb", "mongodb", 27017), ("nats", "nats", 6222)}


def only_needed_flows(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Both ends allow the flows that are needed, and no others."""
    policies = list(of_kind(manifests, "NetworkPolicy"))
    if not policies:
        return
    if not any(
        one["spec"]["podSelector"] == {} and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        for one in policies
        if not one["spec"].keys() & {"ingress", "egress"}
    ):
        yield "no policy denies everything by default"
    there = {pod.name for pod in pods(manifests)}
    wanted = {flow for flow in needed(manifests) if {flow[0], flow[1]} <= there}
    for way in ("egress", "ingress"):
        allowed = {flow for flow in _flows(policies, manifests, way) if {flow[0], flow[1]} <= there}
        yield from (f"{flow} is needed, but {way} denies it" for flow in sorted(wanted - allowed))
        yield from (f"{flow} is allowed as {way}, but not needed" for flow in sorted(allowed - wanted))


def _flows(policies: Sequence[Manifest], manifests: Sequence[Manifest], way: str) -> Iterator[Flow]:
    for policy in policies:
        for pod in _matching(policy["spec"]["podSelector"], manifests):
            for rule in policy["spec"].get(way, ()):
                for peer in rule.get("to" if way == "egress" else "from", ()):
                    for other in _matching(peer.get("podSelector"), manifests):
                        ends = (pod.name, other.name) if way == "egress" else (other.name, pod.name)
                        for entry in rule.get("ports", ()):
                            yield (*ends, entry["port"])


def _matching(selector: dict[str, Any] | None, manifests: Sequence[Manifest]) -> list[Pod]:
    """The pods that a selector matches; none if there is no selector. Only the two forms that we use are supported."""
    if selector is None:
        return []
    wanted = {selector.get("matchLabels", {}).get(NAME)}
    for expression in selector.get("matchExpressions", ()):
        assert (expression["key"], expression["operator"]) == (NAME, "In")
        wanted.update(expression["values"])
    return [pod for pod in pods(manifests) if not selector or pod.labels[NAME] in wanted]


def without_metadata_services(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Egress rules exclude the metadata services of clouds, which hand out credentials."""
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            for block in (peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer):
                network = ipaddress.ip_network(block["cidr"])
                holes = [ipaddress.ip_network(hole) for hole in block.get("except", ())]
                for address in map(ipaddress.ip_address, METADATA):
                    if address in network and not any(address in hole for hole in holes):
                        yield f"{policy['metadata']['name']}: {address} can be reached"


def reachable_from_outside(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Prometheus can reach all metrics, KEDA its two ports, and clients the gateway; all pods can reach DNS."""
    policies = list(of_kind(manifests, "NetworkPolicy"))
    if not policies:
        return
    asked = {("monitoring", pod.name, _metrics(container)) for pod, container, name in services_pods(manifests)}
    asked |= {("monitoring", pod.name, EXPORTERS[pod.name]) for pod in pods(manifests) if pod.name in EXPORTERS}
    asked.add(("keda", "exporter", 9091))
    if "nats" in {pod.name for pod in pods(manifests)}:
        asked.add(("keda", "nats", 8222))
    allowed = set(_from_namespaces(policies, manifests))
    yield from (f"{one} is needed, but denied" for one in sorted(asked - allowed))
    yield from (f"{one} is allowed, but not needed" for one in sorted(allowed - asked))
    if not any(
        rule == {"ports": [{"port": 8080}]}
        for policy in policies
        if policy["spec"]["podSelector"] == {"matchLabels": {NAME: "gateway"}}
        for rule in policy["spec"].get("ingress", ())
    ):
        yield "clients cannot reach the gateway"
    dns = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    if not any(
        policy["spec"]["podSelector"] == {} and [rule["ports"] for rule in policy["spec"].get("egress", ())] == [dns]
        for policy in policies
    ):
        yield "pods cannot reach DNS"


def _metrics(container: Manifest) -> int:
    return next((int(one["containerPort"]) for one in container["ports"] if one["name"] == "metrics"), 0)


def _from_namespaces(policies: Sequence[Manifest], manifests: Sequence[Manifest]) -> Iterator[tuple[str, str, int]]:
    for policy in policies:
        for pod in _matching(policy["spec"]["podSelector"], manifests):
            for rule in policy["spec"].get("ingress", ()):
                for peer in rule.get("from", ()):
                    labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
                    for space in labels.values():
                        for entry in rule["ports"]:
                            yield space, pod.name, entry["port"]


RULES = (only_needed_flows, without_metadata_services, reachable_from_outside)
