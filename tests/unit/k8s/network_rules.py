"""With network policies: what has to talk can, at both ends, and nothing else can reach a service."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from tests.unit.k8s.manifests import NAME, Manifest, Pod, env_names, of_kind, pods, services_pods
from tests.unit.k8s.wiring_rules import calls

Flow = tuple[str, str, int]
"""From a workload, to a workload, on a port."""

DATA = {"MONGODB_URI": ("mongodb", 27017), "NATS_URL": ("nats", 4222)}
# What only machines may ask: AWS, Google, Azure and all that copied them; Alibaba; Azure's host; Oracle; and IPv6.
METADATA = ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")


def needed(manifests: Sequence[Manifest]) -> set[Flow]:
    """Flows within the namespace that addresses and URIs ask for, and those among members."""
    found = set(calls(manifests))
    for pod in pods(manifests):
        for container in pod.containers:
            for name in env_names(container, manifests):
                if name in DATA:
                    found.add((pod.name, *DATA[name]))
    return found | {("mongodb", "mongodb", 27017), ("nats", "nats", 6222)}


def closed_but_for_what_is_needed(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The flows both ends allow are those that are needed."""
    policies = list(of_kind(manifests, "NetworkPolicy"))
    if not policies:
        return
    if not any(
        one["spec"]["podSelector"] == {} and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        for one in policies
        if not one["spec"].keys() & {"ingress", "egress"}
    ):
        yield "nothing is denied"
    there = {pod.name for pod in pods(manifests)}
    wanted = {flow for flow in needed(manifests) if {flow[0], flow[1]} <= there}
    for way in ("egress", "ingress"):
        allowed = {flow for flow in _flows(policies, manifests, way) if {flow[0], flow[1]} <= there}
        yield from (f"{flow} is needed, and {way} denies it" for flow in sorted(wanted - allowed))
        yield from (f"{flow} is allowed as {way}, and nobody needs it" for flow in sorted(allowed - wanted))


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
    """The pods a selector of the two forms we use is about; none when there is no selector."""
    if selector is None:
        return []
    wanted = {selector.get("matchLabels", {}).get(NAME)}
    for expression in selector.get("matchExpressions", ()):
        assert (expression["key"], expression["operator"]) == (NAME, "In")
        wanted.update(expression["values"])
    return [pod for pod in pods(manifests) if not selector or pod.labels[NAME] in wanted]


def out_of_reach_of_metadata(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What may go out may not go to where clouds hand out credentials."""
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            for block in (peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer):
                network = ipaddress.ip_network(block["cidr"])
                holes = [ipaddress.ip_network(hole) for hole in block.get("except", ())]
                for address in map(ipaddress.ip_address, METADATA):
                    if address in network and not any(address in hole for hole in holes):
                        yield f"{policy['metadata']['name']}: {address} can be reached"


def scraped_from_outside(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Prometheus reaches every port with metrics, KEDA the two it reads, clients the gateway, all of them names."""
    policies = list(of_kind(manifests, "NetworkPolicy"))
    if not policies:
        return
    asked = {("monitoring", pod.name, _metrics(container)) for pod, container, name in services_pods(manifests)}
    asked = {(space, name, port) for space, name, port in asked if name != "gateway"} | {("keda", "exporter", 9091)}
    if "nats" in {pod.name for pod in pods(manifests)}:
        asked.add(("keda", "nats", 8222))
    allowed = set(_from_namespaces(policies, manifests))
    yield from (f"{one} is needed and denied" for one in sorted(asked - allowed))
    yield from (f"{one} is allowed and not needed" for one in sorted(allowed - asked))
    if not any(
        rule == {"ports": [{"port": 8080}]}
        for policy in policies
        if policy["spec"]["podSelector"] == {"matchLabels": {NAME: "gateway"}}
        for rule in policy["spec"].get("ingress", ())
    ):
        yield "clients do not reach the gateway"
    dns = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    if not any(
        policy["spec"]["podSelector"] == {} and [rule["ports"] for rule in policy["spec"].get("egress", ())] == [dns]
        for policy in policies
    ):
        yield "no name is resolved"


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


RULES = (closed_but_for_what_is_needed, out_of_reach_of_metadata, scraped_from_outside)
