"""Rules for custom resources, for which kubernetes-validate has no schema. Their fields are from these sources:

KEDA v2.20 (apis/keda/v1alpha1/scaledobject_types.go, pkg/scalers/nats_jetstream_scaler.go and metrics_api_scaler.go),
cert-manager v1 (pkg/apis/certmanager/v1/types_certificate.go), Prometheus operator v1 (pkg/apis/monitoring/v1),
External Secrets v1 (apis/externalsecrets/v1/externalsecret_types.go).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from services.exporter.export import worker
from services.exporter.jobs import sweep
from services.exporter.jobs.dispatch import EXPORTS
from tests.unit.k8s.manifests import Manifest, names, of_kind, services_pods

FIELDS: dict[str, tuple[str, set[str], set[str]]] = {
    # kind: version, required fields, optional fields
    "ScaledObject": (
        "keda.sh/v1alpha1",
        {"scaleTargetRef", "triggers"},
        {"pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "fallback", "advanced"},
    ),
    "Issuer": ("cert-manager.io/v1", set(), {"selfSigned", "ca"}),
    "Certificate": (
        "cert-manager.io/v1",
        {"secretName", "issuerRef"},
        {
            "isCA",
            "commonName",
            "dnsNames",
            "duration",
            "renewBefore",
            "usages",
            "privateKey",
            "additionalOutputFormats",
        },
    ),
    "ExternalSecret": ("external-secrets.io/v1", {"secretStoreRef", "target", "dataFrom"}, {"refreshInterval"}),
    "ServiceMonitor": ("monitoring.coreos.com/v1", {"selector", "endpoints"}, {"jobLabel", "namespaceSelector"}),
    "PrometheusRule": ("monitoring.coreos.com/v1", {"groups"}, set()),
}
TRIGGERS: dict[str, tuple[set[str], set[str]]] = {
    # type: required and optional fields of its metadata
    "nats-jetstream": (
        {"natsServerMonitoringEndpoint", "account", "stream", "consumer"},
        {"lagThreshold", "activationLagThreshold", "useHttps"},
    ),
    "metrics-api": (
        {"url", "valueLocation", "targetValue"},
        {"format", "activationTargetValue", "unsafeSsl", "aggregateFromKubeServiceEndpoints", "aggregationType"},
    ),
}
AGES = (sweep.OLDEST, sweep.WAITING)
FALLBACK = {"failureThreshold", "replicas", "behavior"}


def with_known_fields(manifests: Sequence[Manifest]) -> Iterator[str]:
    """All required fields, and no unknown ones."""
    for one in of_kind(manifests, *FIELDS):
        version, needed, allowed = FIELDS[one["kind"]]
        if one["apiVersion"] != version:
            yield f"{one['kind']} should be {version}, not {one['apiVersion']}"
        yield from _fields(f"{one['kind']} {one['metadata']['name']}", one["spec"], needed, allowed)


def _fields(where: str, found: Mapping[str, Any], needed: set[str], allowed: set[str]) -> Iterator[str]:
    for name in sorted(needed - found.keys()):
        yield f"{where}: {name} is missing"
    for name in sorted(found.keys() - needed - allowed):
        yield f"{where}: unknown field {name}"


def scaled_by_existing_metrics(manifests: Sequence[Manifest]) -> Iterator[str]:
    """KEDA reads the exporter's stream, consumer and metric at their addresses; metadata values are strings."""
    for one in of_kind(manifests, "ScaledObject"):
        if {trigger["type"] for trigger in one["spec"]["triggers"]} != TRIGGERS.keys():
            yield "both types of triggers are needed: the lag does not include work whose message was lost"
        ages = [
            trigger["metadata"].get("valueLocation")
            for trigger in one["spec"]["triggers"]
            if trigger["type"] == "metrics-api"
        ]
        if len(set(ages)) != len(AGES):
            yield "the age of waiting jobs adds workers, that of all unfinished jobs keeps one"
        yield from _fields("fallback", one["spec"].get("fallback", {}), FALLBACK, set())
        for trigger in one["spec"]["triggers"]:
            yield from _fields(trigger["type"], trigger, {"type", "metadata"}, set())
            yield from _fields(trigger["type"], trigger["metadata"], *TRIGGERS[trigger["type"]])
            for name, value in trigger["metadata"].items():
                if not isinstance(value, str):
                    yield f"{trigger['type']}: {name} is not a string"
            ask = _asks_for_lag if trigger["type"] == "nats-jetstream" else _asks_for_age
            yield from ask(trigger["metadata"], manifests)


def _asks_for_lag(metadata: Mapping[str, str], manifests: Sequence[Manifest]) -> Iterator[str]:
    if metadata.get("stream") != EXPORTS.name:
        yield f"there is no stream {metadata.get('stream')}"
    if metadata.get("consumer") != worker.CONSUMER:
        yield f"no worker uses the consumer {metadata.get('consumer')}"
    if metadata.get("account") != "EXPORTS":
        yield "the account must be EXPORTS, which the services use"
    # If NATS is not part of the rendering, it runs elsewhere.
    if "nats" in names(manifests, "Service"):
        yield from _leads_to(f"//{metadata.get('natsServerMonitoringEndpoint')}", "monitor", manifests)


def _asks_for_age(metadata: Mapping[str, str], manifests: Sequence[Manifest]) -> Iterator[str]:
    if metadata.get("valueLocation") not in {next(iter(gauge.describe())).name for gauge in AGES}:
        yield f"the exporter has no metric {metadata.get('valueLocation')}"
    if metadata.get("format") != "prometheus" or urlsplit(metadata.get("url", "")).path != "/metrics":
        yield "the exporter serves its metrics in the Prometheus format at /metrics"
    yield from _leads_to(metadata.get("url", ""), "metrics", manifests)


def _leads_to(url: str, port: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    place = urlsplit(url)
    name, namespace, *rest = [*(place.hostname or "").split("."), "", ""]
    for one in of_kind(manifests, "Service"):
        ports = {entry["name"]: entry["port"] for entry in one["spec"]["ports"]}
        if one["metadata"]["name"] == name and ports.get(port) == place.port:
            break
    else:
        yield f"nothing listens at {url}"
    if namespace != "catalog-exports" or rest[0] != "svc":
        yield f"KEDA, which runs in another namespace, cannot resolve {url}"


def with_certificates(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A certificate has the name that callers use, is valid for servers and clients, and its issuer exists."""
    issuers = names(manifests, "Issuer")
    deployments = names(manifests, "Deployment")
    members = {"mongodb", "nats"}  # these may run elsewhere
    for one in of_kind(manifests, "Certificate"):
        spec, name = one["spec"], one["metadata"]["name"]
        if spec["issuerRef"]["name"] not in issuers:
            yield f"{name}: there is no issuer {spec['issuerRef']['name']}"
        if spec.get("isCA"):
            continue
        workload = name.removesuffix("-mtls")
        if spec["secretName"] != name or workload not in deployments | members:
            yield f"{name} belongs to no workload"
        if spec.get("dnsNames", [None])[0] != workload:
            yield f"{name} is not valid for {workload}"
        if not {"server auth", "client auth"} <= set(spec.get("usages", ())):
            yield f"{name} is not valid for both servers and clients"
    if names(manifests, "Certificate"):
        services = {pod.name for pod, _, _ in services_pods(manifests)}
        for missing in services - {name.removesuffix("-mtls") for name in names(manifests, "Certificate")}:
            yield f"{missing} has no certificate"


def scraped(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The metrics of every service and exporter are scraped by one ServiceMonitor, at a port of its Service."""
    monitors = list(of_kind(manifests, "ServiceMonitor"))
    for service in of_kind(manifests, "Service") if "catalog-exports" in names(manifests, "ServiceMonitor") else ():
        offered = {entry["name"] for entry in service["spec"]["ports"]} & {"metrics", "scrape"}
        labels = service["metadata"].get("labels", {}).items()
        by = [
            one["metadata"]["name"]
            for one in monitors
            if one["spec"]["selector"]["matchLabels"].items() <= labels
            and offered & {endpoint.get("port") for endpoint in one["spec"]["endpoints"]}
        ]
        if offered and len(by) != 1:
            yield f"{service['metadata']['name']} is scraped by {by or 'nobody'}"


def scraped_by_member(manifests: Sequence[Manifest]) -> Iterator[str]:
    """mongodb_exporter is asked for each member of the set, and each is an instance of its own."""
    members = {
        f"{one['metadata']['name']}-{number}.{one['spec']['serviceName']}:27017"
        for one in of_kind(manifests, "StatefulSet")
        if one["metadata"]["name"] == "mongodb"
        for number in range(one["spec"]["replicas"])
    }
    for one in of_kind(manifests, "ServiceMonitor"):
        if one["metadata"]["name"] != "mongodb-exporter":
            continue
        endpoints = one["spec"]["endpoints"]
        asked = [target for endpoint in endpoints for target in endpoint.get("params", {}).get("target", ())]
        if sorted(asked) != sorted(members):
            yield f"the members are {sorted(members)}, but {asked} are scraped"
        for endpoint in endpoints:
            if {"sourceLabels": ["__param_target"], "targetLabel": "instance"} not in endpoint.get("relabelings", ()):
                yield f"the series of {endpoint.get('params')} are those of the exporter"


RULES = (with_known_fields, scaled_by_existing_metrics, with_certificates, scraped, scraped_by_member)
