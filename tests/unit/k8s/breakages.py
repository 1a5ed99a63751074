"""Ways to break manifests, each with the rule that must report it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.unit.k8s import (
    custom_rules,
    environment_rules,
    network_rules,
    pod_rules,
    rights_rules,
    shutdown_rules,
    wiring_rules,
)
from tests.unit.k8s.manifests import Manifest

Rule = Callable[[Sequence[Manifest]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Breakage:
    """A value that is set, or removed (None), at a path in a rendered object.

    Args:
        path: keys and list indexes, relative to the object. `pod` and `container` below take a path relative to a
            workload's pod and to its first container.
    """

    rule: Rule
    case: str
    kind: str
    name: str
    path: tuple[str | int, ...]
    value: Any = None

    def break_(self, manifests: Sequence[Manifest]) -> None:
        """Change the object in place."""
        place: Any
        (place,) = [
            one
            for one in manifests
            if one["kind"] == self.kind and one["metadata"]["name"].startswith(self.name)
            if self.kind in ("ConfigMap", "Secret") or one["metadata"]["name"] == self.name
        ]
        *way, last = self.path
        for key in way:
            place = place[key]
        if self.value is None:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(self.value)
        else:
            place[last] = self.value

    def __str__(self) -> str:
        return f"{self.rule.__name__}-{self.name}-{'.'.join(map(str, self.path))}"


POD = ("spec", "template", "spec")
FIRST = (*POD, "containers", 0)


def pod(rule: Rule, *path: str | int, to: Any = None, name: str = "exporter") -> Breakage:
    return Breakage(rule, "base", "Deployment", name, (*POD, *path), to)


def container(rule: Rule, *path: str | int, to: Any = None, name: str = "exporter", case: str = "base") -> Breakage:
    return Breakage(rule, case, "Deployment", name, (*FIRST, *path), to)


def spec(rule: Rule, case: str, kind: str, name: str, *path: str | int, to: Any = None) -> Breakage:
    return Breakage(rule, case, kind, name, ("spec", *path), to)


PODS = (
    pod(pod_rules.unprivileged, "securityContext", "runAsNonRoot"),
    pod(pod_rules.unprivileged, "securityContext", "runAsUser", to=0),
    pod(pod_rules.unprivileged, "securityContext", "seccompProfile", "type", to="Unconfined"),
    pod(pod_rules.unprivileged, "automountServiceAccountToken"),
    pod(pod_rules.unprivileged, "hostNetwork", to=True),
    pod(pod_rules.unprivileged, "volumes", 1, to={"name": "node", "hostPath": {"path": "/"}}),
    container(pod_rules.unprivileged, "securityContext", "readOnlyRootFilesystem", to=False),
    container(pod_rules.unprivileged, "securityContext", "allowPrivilegeEscalation"),
    container(pod_rules.unprivileged, "securityContext", "capabilities", "drop", to=[]),
    container(pod_rules.unprivileged, "securityContext", "runAsUser", to=0),
    container(pod_rules.bounded, "resources", "limits", "memory"),
    container(pod_rules.bounded, "resources", "requests", "cpu"),
    container(pod_rules.bounded, "resources"),
    container(pod_rules.bounded, "resources", "limits", "ephemeral-storage"),
    Breakage(pod_rules.labelled, "base", "Deployment", "exporter", ("metadata", "labels", pod_rules.VERSION), "0.0.9"),
    Breakage(pod_rules.labelled, "local", "Deployment", "mongodb", ("metadata", "labels", pod_rules.VERSION)),
    spec(
        pod_rules.preferred_to_other_pods,
        "priority",
        "Deployment",
        "exporter",
        *("template", "spec", "priorityClassName"),
    ),
    pod(pod_rules.bounded, "volumes", 0, "emptyDir", to={"medium": "Memory"}),
    container(pod_rules.probed, "readinessProbe"),
    container(pod_rules.probed, "startupProbe", "grpc", "port", to=50099),
    container(pod_rules.probed, "livenessProbe", name="mongodb", case="local"),
    container(pod_rules.versioned, "image", to="catalog-exports/exporter:latest"),
    container(pod_rules.versioned, "image", to="catalog-exports/exporter"),
    container(pod_rules.versioned, "image", to="registry:5000/exporter"),
    container(pod_rules.versioned, "image", to="catalog-exports/exporter:dev"),
    container(pod_rules.versioned, "imagePullPolicy", to="Always"),
    container(pod_rules.with_writable_folders, "volumeMounts", 0),
    pod(pod_rules.with_writable_folders, "volumes", 0),
)

MANY = "https://name:word@example.com/"
ENVIRONMENT = (
    container(environment_rules.with_known_variables, "env", 0, "name", to="GRPC_HOTS"),
    container(environment_rules.with_known_variables, "env", 1, "name", to="GRPC_HOST"),
    Breakage(environment_rules.with_known_variables, "base", "ConfigMap", "settings", ("data", "LOG_LEVLE"), "INFO"),
    pod(environment_rules.with_known_variables, "enableServiceLinks"),
    container(environment_rules.with_valid_settings, "env", 5, "value", to="65"),
    container(environment_rules.with_valid_settings, "env", 9, name="gateway"),
    Breakage(environment_rules.with_valid_settings, "base", "ConfigMap", "settings", ("data", "LOG_LEVEL"), "LOUD"),
    container(environment_rules.with_existing_references, "env", 6, "valueFrom", "secretKeyRef", "key", to="MONGO"),
    container(environment_rules.rolled_by_changes, "envFrom", 0, "configMapRef", "name", to="settings"),
    container(environment_rules.with_existing_references, "envFrom", 0, "configMapRef", "name", to="setings"),
    spec(
        environment_rules.with_existing_references,
        "mtls",
        "Deployment",
        "exporter",
        *("template", "spec", "volumes", 1, "secret", "secretName"),
        to="exporter-tls",
    ),
    container(environment_rules.without_plain_secrets, "env", 6, to={"name": "MONGODB_URI", "value": "mongodb://m"}),
    container(
        environment_rules.without_plain_secrets, "env", 9, to={"name": "SIGNING_KEY", "value": "0" * 32}, name="gateway"
    ),
    Breakage(
        environment_rules.without_plain_secrets, "base", "ConfigMap", "settings", ("data", "NATS_URL"), "nats://nats"
    ),
    Breakage(environment_rules.without_plain_secrets, "base", "ConfigMap", "settings", ("data", "LOG_FORMAT"), MANY),
    Breakage(
        environment_rules.without_plain_secrets, "local", "Secret", "catalog-exports", ("metadata", "name"), "made"
    ),
    Breakage(
        environment_rules.with_used_variables,
        "nats",
        "StatefulSet",
        "nats",
        (*FIRST, "env", 1, "name"),
        "NATS_LOGIN",
    ),
    pod(environment_rules.with_service_accounts, "serviceAccountName", to="default"),
    pod(environment_rules.with_service_accounts, "serviceAccountName"),
)

WIRING = (
    spec(
        wiring_rules.with_matching_selectors,
        "base",
        "Service",
        "exporter",
        "selector",
        "app.kubernetes.io/name",
        to="gateway",
    ),
    spec(
        wiring_rules.with_matching_selectors,
        "base",
        "PodDisruptionBudget",
        "exporter",
        "selector",
        "matchLabels",
        to={"a": "b"},
    ),
    spec(
        wiring_rules.with_matching_selectors,
        "base",
        "Deployment",
        "exporter",
        "template",
        "metadata",
        "labels",
        to={"a": "b"},
    ),
    container(wiring_rules.with_matching_ports, "env", 1, "value", to="50059"),
    container(wiring_rules.with_matching_ports, "env", 2),
    container(wiring_rules.with_matching_ports, "env", 3),
    container(wiring_rules.with_matching_ports, "ports", 0, "containerPort", to=50052),
    container(wiring_rules.with_matching_ports, "ports", 3, to={"name": "other", "containerPort": 50052}),
    container(wiring_rules.with_matching_ports, "readinessProbe", "grpc", "port", to=50051),
    container(wiring_rules.with_matching_ports, "livenessProbe", "grpc", "service", to=""),
    container(wiring_rules.with_matching_ports, "livenessProbe", "httpGet", "path", to="/readyz", name="gateway"),
    spec(wiring_rules.with_service_ports, "base", "Service", "exporter", "ports", 0, "port", to=50052),
    spec(wiring_rules.with_service_ports, "base", "Service", "exporter", "ports", 0, "targetPort", to="rpc"),
    spec(wiring_rules.with_service_ports, "base", "Service", "exporter", "clusterIP"),
    Breakage(
        wiring_rules.with_grpc_addresses,
        "base",
        "ConfigMap",
        "addresses",
        ("data", "EXPORTER_ADDRESS"),
        "dns:///exporter:50052",
    ),
    Breakage(
        wiring_rules.with_grpc_addresses,
        "base",
        "ConfigMap",
        "addresses",
        ("data", "EXPORTER_ADDRESS"),
        "exporter:50051",
    ),
    spec(wiring_rules.with_grpc_addresses, "base", "Service", "delivery", "ports", 0, "name", to="http"),
    spec(
        wiring_rules.updated_without_downtime,
        "base",
        "Deployment",
        "exporter",
        *("strategy", "rollingUpdate", "maxUnavailable"),
        to=1,
    ),
    spec(wiring_rules.updated_without_downtime, "base", "Deployment", "exporter", "revisionHistoryLimit"),
    spec(wiring_rules.updated_without_downtime, "base", "PodDisruptionBudget", "exporter", "maxUnavailable", to="100%"),
    pod(wiring_rules.updated_without_downtime, "topologySpreadConstraints", 0),
    spec(
        wiring_rules.with_existing_scale_targets,
        "autoscaling-hpa",
        "HorizontalPodAutoscaler",
        "exporter-worker",
        *("scaleTargetRef", "name"),
        to="worker",
    ),
    spec(
        wiring_rules.with_existing_scale_targets, "autoscaling-keda", "Deployment", "exporter-worker", "replicas", to=2
    ),
    spec(wiring_rules.with_public_ingress, "ingress", "Ingress", "gateway", "rules", 0, "host", to="example.com"),
    spec(
        wiring_rules.with_public_ingress,
        "ingress",
        "Ingress",
        "gateway",
        *("rules", 0, "http", "paths", 0, "path"),
        to="/metrics",
    ),
    spec(wiring_rules.with_public_ingress, "ingress", "Service", "gateway", "ports", 0, "name", to="web"),
)

SHUTDOWN = (
    pod(shutdown_rules.with_enough_grace, "terminationGracePeriodSeconds"),
    pod(shutdown_rules.with_enough_grace, "terminationGracePeriodSeconds", to=40, name="delivery"),
    pod(shutdown_rules.with_enough_grace, "terminationGracePeriodSeconds", to=69, name="gateway"),
    Breakage(shutdown_rules.with_enough_grace, "base", "ConfigMap", "settings", ("data", "SHUTDOWN_GRACE"), "30"),
    Breakage(shutdown_rules.with_enough_grace, "base", "ConfigMap", "settings", ("data", "SHUTDOWN_NOTICE"), "1"),
)

KEDA = ("autoscaling-keda", "ScaledObject", "exporter-worker")
LAG, AGE = ("triggers", 0, "metadata"), ("triggers", 1, "metadata")
CUSTOM = (
    spec(custom_rules.with_known_fields, *KEDA, "minReplicas", to=0),
    spec(custom_rules.with_known_fields, *KEDA, "scaleTargetRef"),
    Breakage(custom_rules.with_known_fields, *KEDA, ("apiVersion",), "keda.sh/v1"),
    spec(custom_rules.with_known_fields, "mtls-cert-manager", "Certificate", "exporter-mtls", "issuer", to="mtls"),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, "triggers", 1),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, "fallback", "replica", to=1),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *LAG, "lagThreshold", to=4),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *LAG, "accountName", to="EXPORTS"),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *LAG, "account", to="$G"),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *LAG, "stream", to="EXPORT"),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *LAG, "consumer", to="workers"),
    spec(
        custom_rules.scaled_by_existing_metrics, "production", *KEDA[1:], *LAG, "natsServerMonitoringEndpoint", to="n:1"
    ),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *AGE, "format"),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *AGE, "valueLocation", to="exporter_oldest_job_seconds"),
    spec(custom_rules.scaled_by_existing_metrics, *KEDA, *AGE, "url", to="http://exporter:9091/metrics"),
    spec(
        custom_rules.scaled_by_existing_metrics, "autoscaling-keda", "Service", "exporter", "ports", 1, "port", to=9099
    ),
    spec(custom_rules.with_certificates, "mtls-cert-manager", "Certificate", "exporter-mtls", "dnsNames", 0),
    spec(custom_rules.with_certificates, "mtls-cert-manager", "Certificate", "exporter-mtls", "usages", 2),
    spec(
        custom_rules.with_certificates, "mtls-cert-manager", "Certificate", "exporter-mtls", "secretName", to="exporter"
    ),
    spec(
        custom_rules.with_certificates,
        "mtls-cert-manager",
        "Certificate",
        "exporter-mtls",
        "issuerRef",
        "name",
        to="ca",
    ),
    Breakage(
        custom_rules.with_certificates,
        "mtls-cert-manager",
        "Certificate",
        "exporter-mtls",
        ("metadata", "name"),
        "worker-mtls",
    ),
    spec(custom_rules.scraped, "monitoring", "ServiceMonitor", "catalog-exports", "endpoints", 0),
    Breakage(custom_rules.scraped, "monitoring", "Service", "scheduler", ("metadata", "labels"), {}),
    spec(custom_rules.scraped, "production", "Service", "mongodb-exporter", "ports", 1, to={"name": "metrics"}),
    spec(custom_rules.scraped_by_member, "mongodb-exporter", "StatefulSet", "mongodb", "replicas", to=5),
    spec(
        custom_rules.scraped_by_member,
        "mongodb-exporter",
        "ServiceMonitor",
        "mongodb-exporter",
        *("endpoints", 1, "relabelings"),
        to=[],
    ),
)

POLICIES = ("network-policy", "NetworkPolicy")
CLOSED = network_rules.only_needed_flows
NETWORK = (
    spec(CLOSED, *POLICIES, "default-deny", "policyTypes", 1),
    spec(CLOSED, *POLICIES, "gateway-calls", "egress", 0),
    spec(CLOSED, *POLICIES, "gateway-calls", "egress", 0, "ports", 0, "port", to=50059),
    spec(CLOSED, *POLICIES, "exporter-answers", "ingress", 0, "from", 0, "podSelector", to={}),
    spec(CLOSED, "production", POLICIES[1], "mongodb", "ingress", 0, "ports", 0, "port", to=27018),
    spec(CLOSED, "production", POLICIES[1], "nats", "egress", 0),
    spec(
        network_rules.without_metadata_services, *POLICIES, "destinations", "egress", 0, "to", 0, "ipBlock", "except", 0
    ),
    spec(
        network_rules.without_metadata_services, *POLICIES, "artifact-store", "egress", 0, "to", 1, "ipBlock", "except"
    ),
    spec(network_rules.reachable_from_outside, *POLICIES, "exporter-metrics", "ingress", 0, "from", 1),
    spec(
        network_rules.reachable_from_outside, *POLICIES, "scheduler-metrics", "ingress", 0, "ports", 0, "port", to=9091
    ),
    spec(network_rules.reachable_from_outside, *POLICIES, "gateway", "ingress", 0),
    spec(network_rules.reachable_from_outside, *POLICIES, "names", "egress", 0, "ports", 1),
)

COST = "pod-deletion-cost"
POLICY = ("ValidatingAdmissionPolicyBinding", "exporter-worker.catalog-exports")
RIGHTS = (
    Breakage(rights_rules.with_few_rights, COST, "Role", "exporter-worker", ("rules", 0, "verbs", 1), "delete"),
    Breakage(rights_rules.with_few_rights, COST, "Role", "exporter-worker", ("rules", 0, "resources", 0), "*"),
    Breakage(rights_rules.with_few_rights, COST, "Role", "exporter-worker", ("kind",), "ClusterRole"),
    Breakage(rights_rules.with_few_rights, COST, "RoleBinding", "exporter-worker", ("subjects", 0, "name"), "default"),
    spec(rights_rules.with_tokens_that_are_limited, COST, *POLICY, "validationActions", 0, to="Audit"),
    spec(rights_rules.with_tokens_that_are_limited, COST, *POLICY, "policyName", to="other"),
    Breakage(rights_rules.with_tokens_that_are_limited, COST, "Role", "exporter-worker", ("kind",), "ClusterRole"),
    Breakage(
        rights_rules.with_tokens_that_are_limited,
        COST,
        "Deployment",
        "exporter-worker",
        (*POD, "volumes", 1, "projected", "sources", 0),
    ),
)

BREAKAGES = (*PODS, *ENVIRONMENT, *WIRING, *SHUTDOWN, *CUSTOM, *NETWORK, *RIGHTS)
