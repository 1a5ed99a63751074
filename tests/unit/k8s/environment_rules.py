"""Rules for environment variables: services read them, ConfigMaps exist, and Secrets are documented."""

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
    written,
)
from tests.unit.k8s.rendering import ROOT

SETTINGS: dict[str, type[ProcessSettings]] = {
    "gateway": GatewaySettings,
    "exporter": ExporterSettings,
    "delivery": DeliverySettings,
    "scheduler": SchedulerSettings,
}
# Variables that libraries read: OpenTelemetry, botocore (docs/artifacts.md) and asyncssh (the user's name).
FOREIGN = re.compile(r"OTEL_[A-Z_]+|AWS_[A-Z0-9_]+|USER")
# Valid values in place of secrets, so that the other settings can be checked.
EXAMPLES = {
    "MONGODB_URI": "mongodb://mongodb:27017/?replicaSet=rs0",
    "NATS_URL": "nats://nats:4222",
    "SIGNING_KEY": "x" * 32,
    "MASTER_KEYS": "1:" + "A" * 43 + "=",
}
READ_BY_PROGRAMS = {"mongodb-exporter"}
"""Programs that read variables themselves, without a script or a configuration (main.go of mongodb_exporter)."""
PASSWORD_IN_URL = re.compile(r"://[^/\s:@<>]+:[^/\s@<>]+@")
GENERATED = re.compile(r"-[a-z0-9]{10}$")
ROW = re.compile(r"\| `([a-z0-9-]+)` \| (`[\w.-]+`(?:, `[\w.-]+`)*) \|")


def with_known_variables(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Every variable of a service is one of its settings or is read by a library."""
    for pod, container, service in services_pods(manifests):
        known = {name.upper() for name in SETTINGS[service].model_fields}
        found = env_names(container, manifests)
        for name in found:
            if name not in known and not FOREIGN.fullmatch(name):
                yield f"{pod.name}: {service} has no setting {name}"
        for name in {name for name in found if found.count(name) > 1} - shared(container, manifests).keys():
            yield f"{pod.name} sets {name} twice"
    for pod in pods(manifests):
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name} gets variables of every Service"


def with_valid_settings(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The settings of every service are valid."""
    for pod, container, service in services_pods(manifests):
        try:
            settings_of(container, manifests, service)
        except ValidationError as exc:
            yield f"{pod.name}: {exc}"


def settings_of(container: Manifest, manifests: Sequence[Manifest], service: str) -> ProcessSettings:
    """The settings of a service in this container, with examples in place of secrets.

    Raises:
        ValidationError: the service would not start.
    """
    secrets = {entry["name"] for entry in container["env"] if "secretKeyRef" in entry.get("valueFrom", {})}
    environment = shared(container, manifests) | written(container, manifests)
    environment |= {name: EXAMPLES[name] for name in secrets & EXAMPLES.keys()}
    with mock.patch.dict(os.environ, environment, clear=True):
        return SETTINGS[service]()


def with_existing_references(manifests: Sequence[Manifest]) -> Iterator[str]:
    """ConfigMaps and their keys are rendered; Secrets are rendered, made by cert-manager, or documented."""
    made = {one["spec"]["secretName"] for one in of_kind(manifests, "Certificate")}
    written = {one["metadata"]["name"]: one.get("data", {}).keys() for one in of_kind(manifests, "Secret")}
    documented = documented_secrets()
    for pod in pods(manifests):
        for kind, name, key in references(pod):
            if kind == "ConfigMap":
                found = config(manifests, name)
                missing = not found or (key is not None and key not in found)
            else:
                # The name of a generated Secret ends with a hash; optional keys may be missing.
                documented_keys = documented.get(GENERATED.sub("", name), ())
                missing = name not in made and key not in {*written.get(name, ()), *documented_keys}
            if missing:
                yield f"{pod.name}: {kind} {name} with the key {key} does not exist"


def references(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key of every ConfigMap and Secret that the pod uses; no key: all of them."""
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
            every = ("tls.crt", "tls.key", "ca.crt") if volume["name"] == "tls" else ("keyfile",)
            keys = [item["key"] for item in volume["secret"].get("items", ())] or every
            for key in keys:
                yield "Secret", volume["secret"]["secretName"], key


def documented_secrets() -> dict[str, set[str]]:
    """The keys of the Secrets that operators create, from the tables of the READMEs."""
    found: dict[str, set[str]] = {}
    for page in sorted((ROOT / "deploy" / "k8s").rglob("README.md")):
        for name, keys in ROW.findall(page.read_text()):
            found.setdefault(name, set()).update(re.findall(r"`([\w.-]+)`", keys))
    return found


def rolled_by_changes(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Another content of a ConfigMap, or of a Secret that is rendered, gives it another name, so that pods restart."""
    rendered = names(manifests, "Secret")
    for pod in pods(manifests):
        for kind, name, _ in references(pod):
            if (kind == "ConfigMap" or name in rendered) and not GENERATED.search(name):
                yield f"{pod.name} would go on with the old content of {kind} {name}"


def without_plain_secrets(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Only the generated Secret is rendered, and no secret value is in a manifest or an address."""
    for one in of_kind(manifests, "Secret"):
        if not re.fullmatch(r"catalog-exports-[a-z0-9]{10}", one["metadata"]["name"]):
            yield f"Secret {one['metadata']['name']} is in plain text"
    secret = {
        name.upper()
        for settings in SETTINGS.values()
        for name, field in settings.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    } | {"MONGODB_URI", "NATS_URL", "CATALOGUE_URI", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    logins = re.compile(r"\w+_(MONGODB_URI|NATS_URL)|NATS_\w+_(PASSWORD|URL)")
    for pod in pods(manifests):
        for container in pod.containers:
            for name in sorted(values(container)):
                if name in secret or logins.fullmatch(name):
                    yield f"{pod.name}: {name} is in plain text"
    for one in of_kind(manifests, "ConfigMap"):
        for name in sorted(secret & one.get("data", {}).keys()):
            yield f"ConfigMap {one['metadata']['name']}: {name} is in plain text"
        if any(PASSWORD_IN_URL.search(text) for text in one.get("data", {}).values()):
            yield f"ConfigMap {one['metadata']['name']}: an address with a password"


def with_used_variables(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Other programs only get variables that their script or configuration uses."""
    ours = {pod.name for pod, _, _ in services_pods(manifests)}
    for pod in pods(manifests):
        if pod.name in ours:
            continue
        mounted = [volume["configMap"]["name"] for volume in pod.spec.get("volumes", ()) if "configMap" in volume]
        if pod.name in READ_BY_PROGRAMS:
            continue
        asked = " ".join(text for name in mounted for text in config(manifests, name).values())
        for container in pod.containers:
            for name in env_names(container, manifests):
                by_library = name.startswith("AWS_") and "boto3" in asked
                if not by_library and not re.search(rf"\b{name}\b", asked):
                    yield f"{pod.name}: nothing uses {name}"


def with_service_accounts(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Every service has a service account of its own."""
    accounts = names(manifests, "ServiceAccount")
    for pod in pods(manifests):
        account = pod.spec.get("serviceAccountName")
        if account is not None and account not in accounts:
            yield f"{pod.name}: there is no ServiceAccount {account}"
    for pod, _, _ in services_pods(manifests):
        if pod.spec.get("serviceAccountName") != pod.name:
            yield f"{pod.name} has no account of its own"


RULES = (
    with_known_variables,
    with_valid_settings,
    with_existing_references,
    rolled_by_changes,
    without_plain_secrets,
    with_used_variables,
    with_service_accounts,
)
