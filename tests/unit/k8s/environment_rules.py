"""What pods are told: by names their service reads, from ConfigMaps that are there and Secrets that are documented."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import get_args
from unittest import mock

from pydantic import SecretStr, ValidationError

from services.chassis.settings import ProcessSettings
from services.delivery.settings import DeliverySettings
from services.exporter.settings import ExporterSettings
from services.gateway.settings import GatewaySettings
from services.scheduler.settings import SchedulerSettings
from tests.unit.k8s.manifests import (
    Manifest,
    Pod,
    config,
    env_names,
    names,
    of_kind,
    pods,
    services_pods,
    shared,
    values,
)
from tests.unit.k8s.rendering import ROOT

SETTINGS: dict[str, type[ProcessSettings]] = {
    "gateway": GatewaySettings,
    "exporter": ExporterSettings,
    "delivery": DeliverySettings,
    "scheduler": SchedulerSettings,
}
# Read by libraries: OpenTelemetry's, botocore's (docs/artifacts.md), and the user's name for asyncssh.
FOREIGN = re.compile(r"OTEL_[A-Z_]+|AWS_[A-Z0-9_]+|USER")
# For a look at the other settings; the forms are those of the real ones.
EXAMPLES = {
    "MONGODB_URI": "mongodb://mongodb:27017/?replicaSet=rs0",
    "NATS_URL": "nats://nats:4222",
    "SIGNING_KEY": "x" * 32,
    "MASTER_KEYS": "1:" + "A" * 43 + "=",
}
PASSWORD_IN_URL = re.compile(r"://[^/\s:@<>]+:[^/\s@<>]+@")
GENERATED = re.compile(r"-[a-z0-9]{10}$")
ROW = re.compile(r"\| `([a-z0-9-]+)` \| (`[\w.]+`(?:, `[\w.]+`)*) \|")


def understood(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Every variable of a service is one of its settings, or one that a library reads."""
    for pod, container, service in services_pods(manifests):
        known = {name.upper() for name in SETTINGS[service].model_fields}
        found = env_names(container, manifests)
        for name in found:
            if name not in known and not FOREIGN.fullmatch(name):
                yield f"{pod.name}: {service} knows no {name}"
        for name in {name for name in found if found.count(name) > 1} - shared(container, manifests).keys():
            yield f"{pod.name} is told {name} twice"
    for pod in pods(manifests):
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name} gets variables of every Service"


def accepted(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The services start with what they are told."""
    for pod, container, service in services_pods(manifests):
        try:
            told(container, manifests, service)
        except ValidationError as exc:
            yield f"{pod.name}: {exc}"


def told(container: Manifest, manifests: Sequence[Manifest], service: str) -> ProcessSettings:
    """The settings of a service in this container, with examples of what is in Secrets.

    Raises:
        ValidationError: it would not start.
    """
    secrets = {entry["name"] for entry in container["env"] if "secretKeyRef" in entry.get("valueFrom", {})}
    environment = shared(container, manifests) | values(container)
    environment |= {name: EXAMPLES[name] for name in secrets & EXAMPLES.keys()}
    for entry in container["env"]:
        if "configMapKeyRef" in entry.get("valueFrom", {}):
            source = entry["valueFrom"]["configMapKeyRef"]
            environment[entry["name"]] = config(manifests, source["name"]).get(source["key"], "")
    with mock.patch.dict(os.environ, environment, clear=True):
        return SETTINGS[service]()


def referring_to_what_is_there(manifests: Sequence[Manifest]) -> Iterator[str]:
    """ConfigMaps and keys that are rendered; Secrets that are rendered, made by cert-manager, or documented."""
    made = {one["spec"]["secretName"] for one in of_kind(manifests, "Certificate")}
    written = {one["metadata"]["name"]: one.get("data", {}).keys() for one in of_kind(manifests, "Secret")}
    documented = documented_secrets()
    for pod in pods(manifests):
        for kind, name, key in _references(pod):
            if kind == "ConfigMap":
                found = config(manifests, name)
                missing = not found or (key is not None and key not in found)
            else:
                # A generated one has a hash at its end, and need not hold what is optional.
                told_of = documented.get(GENERATED.sub("", name), ())
                missing = name not in made and key not in {*written.get(name, ()), *told_of}
            if missing:
                yield f"{pod.name}: nobody makes {kind} {name}, key {key}"


def _references(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    for container in pod.containers:
        for source in container.get("envFrom", ()):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"], None
        for entry in container.get("env", ()):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in entry.get("valueFrom", {}):
                    yield kind, entry["valueFrom"][field]["name"], entry["valueFrom"][field]["key"]
    for volume in pod.spec.get("volumes", ()):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            keys = ("tls.crt", "tls.key", "ca.crt") if volume["name"] == "tls" else ("keyfile",)
            for key in keys:
                yield "Secret", volume["secret"]["secretName"], key


def documented_secrets() -> dict[str, set[str]]:
    """The keys of the Secrets an operator is told to make, from the tables of the READMEs."""
    found: dict[str, set[str]] = {}
    for page in sorted((ROOT / "deploy" / "k8s").rglob("README.md")):
        for name, keys in ROW.findall(page.read_text()):
            found.setdefault(name, set()).update(re.findall(r"`([\w.]+)`", keys))
    return found


def keeping_secrets(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No Secret but the generated one, no secret setting with its value beside it, no password in an address."""
    for one in of_kind(manifests, "Secret"):
        if not re.fullmatch(r"catalog-exports-[a-z0-9]{10}", one["metadata"]["name"]):
            yield f"Secret {one['metadata']['name']} is in clear"
    secret = {
        name.upper()
        for settings in SETTINGS.values()
        for name, field in settings.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    } | {"MONGODB_URI", "NATS_URL", "CATALOGUE_URI", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NATS_PASSWORD"}
    for pod in pods(manifests):
        for container in pod.containers:
            for name in sorted(secret & values(container).keys()):
                yield f"{pod.name}: {name} is in clear"
    for one in of_kind(manifests, "ConfigMap"):
        for name in sorted(secret & one.get("data", {}).keys()):
            yield f"ConfigMap {one['metadata']['name']}: {name} is in clear"
        if any(PASSWORD_IN_URL.search(text) for text in one.get("data", {}).values()):
            yield f"ConfigMap {one['metadata']['name']}: an address with a password"


def with_names_for_scripts(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What is no service of ours is told only what its script or configuration asks for."""
    ours = {pod.name for pod, _, _ in services_pods(manifests)}
    for pod in pods(manifests):
        if pod.name in ours:
            continue
        mounted = [volume["configMap"]["name"] for volume in pod.spec.get("volumes", ()) if "configMap" in volume]
        asked = " ".join(text for name in mounted for text in config(manifests, name).values())
        for container in pod.containers:
            for name in env_names(container, manifests):
                if not re.search(rf"\b{name}\b", asked):
                    yield f"{pod.name}: nothing asks for {name}"


def named_accounts(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An account of its own for every workload that lasts and is more than local."""
    accounts = names(manifests, "ServiceAccount")
    for pod in pods(manifests):
        account = pod.spec.get("serviceAccountName")
        if account is not None and account not in accounts:
            yield f"{pod.name}: there is no ServiceAccount {account}"
    for pod, _, _ in services_pods(manifests):
        if pod.spec.get("serviceAccountName") != pod.name:
            yield f"{pod.name} has no account of its own"


RULES = (
    understood,
    accepted,
    referring_to_what_is_there,
    keeping_secrets,
    with_names_for_scripts,
    named_accounts,
)
