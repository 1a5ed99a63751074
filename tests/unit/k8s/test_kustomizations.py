"""The files in deploy/k8s apart from the rendered objects: versions, secrets, deprecated fields and README files."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from services.delivery.platforms.secrets import parse_master_keys
from tests.unit.k8s.environment_rules import PASSWORD_IN_URL, documented_secrets
from tests.unit.k8s.manifests import names, of_kind, pods, services_pods, values
from tests.unit.k8s.rendering import CASES, COMPONENTS, OVERLAYS, ROOT, Renderings

K8S = ROOT / "deploy" / "k8s"
FILES = sorted(path for path in K8S.rglob("*") if path.is_file() and path.name != "secrets.env")
KUSTOMIZATIONS = [path for path in FILES if path.name == "kustomization.yaml"]
# https://kubectl.docs.kubernetes.io/references/kustomize: fields that v5 still reads but deprecates.
DEPRECATED = {"bases", "commonLabels", "imageTags", "patchesJson6902", "patchesStrategicMerge", "vars"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_all_kustomizations_are_found() -> None:
    assert len(COMPONENTS) >= 11
    assert {path.parent.name for path in KUSTOMIZATIONS} == {"base", "namespace", *OVERLAYS, *COMPONENTS}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.name))
def test_no_kustomization_has_deprecated_fields(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    assert found.keys() & DEPRECATED == set()
    assert (found["kind"], found["apiVersion"]) == (
        ("Component", "kustomize.config.k8s.io/v1alpha1")
        if path.parent.parent.name == "components"
        else ("Kustomization", "kustomize.config.k8s.io/v1beta1")
    )


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_has_a_short_page(component: str) -> None:
    lines = (K8S / "components" / component / "README.md").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert 5 < len(lines) < 70


def test_links_in_the_pages_are_not_broken() -> None:
    missing = [
        (page.relative_to(ROOT), target)
        for page in FILES
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("case", CASES)
def test_our_images_have_the_current_version(renderings: Renderings, case: str) -> None:
    ours = {c["image"] for pod in pods(renderings.of(case)) for c in pod.containers if "catalog-exports/" in c["image"]}
    services = ("gateway", "exporter", "delivery", "scheduler")
    prefix, tag = {
        "local": ("localhost/catalog-exports/", "dev"),
        "production": ("registry.example.com/catalog-exports/", VERSION),
    }.get(case, ("catalog-exports/", VERSION))
    assert ours == {f"{prefix}{service}:{tag}" for service in services}


@pytest.mark.parametrize("case", [case for case in CASES if case != "local"])
def test_secrets_are_rendered_only_for_local_use(renderings: Renderings, case: str) -> None:
    assert names(renderings.of(case), "Secret") == set()


def test_no_file_contains_an_address_with_a_password() -> None:
    assert [path.name for path in FILES if re.search(PASSWORD_IN_URL, _without_variables(path.read_text()))] == []


def _without_variables(text: str) -> str:
    """Replaces shell variables, which are not passwords."""
    return re.sub(r":\$\w+@", ":<word>@", text)


def test_local_secrets_are_created_once_and_never_committed(renderings: Renderings) -> None:
    folder = renderings.k8s / "overlays" / "local"
    made = dict(line.split("=", 1) for line in (folder / "secrets.env").read_text().splitlines())
    assert (folder / "secrets.env").stat().st_mode & 0o077 == 0
    assert len(made["SIGNING_KEY"]) >= 32
    assert parse_master_keys(made["MASTER_KEYS"])
    again = subprocess.run([folder / "make-secrets.sh"], capture_output=True, text=True)
    assert again.returncode == 1
    assert "already" in again.stderr
    assert "secrets.env" in (K8S / ".gitignore").read_text().split()
    example = (folder / "secrets.env.example").read_text()
    assert re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE) == [(name, "") for name in made]


def test_the_local_secret_has_the_keys_that_services_read(renderings: Renderings) -> None:
    (secret,) = of_kind(renderings.of("local"), "Secret")
    uris = {f"{service}_MONGODB_URI" for service in ("GATEWAY", "EXPORTER", "DELIVERY", "SCHEDULER")}
    uris |= {f"{service}_NATS_URL" for service in ("EXPORTER", "DELIVERY", "SCHEDULER")}
    assert secret["data"].keys() == {*uris, "SIGNING_KEY", "MASTER_KEYS"}


def test_no_service_is_told_the_login_of_another(renderings: Renderings) -> None:
    for pod, container, service in services_pods(renderings.of("production")):
        references = [entry.get("valueFrom", {}).get("secretKeyRef", {}).get("key", "") for entry in container["env"]]
        logins = {key.split("_")[0].lower() for key in references if key.endswith(("_MONGODB_URI", "_NATS_URL"))}
        assert logins == {service}, pod.name


def test_production_uses_tls_to_mongodb_and_nats_and_has_a_user_for_each_service(renderings: Renderings) -> None:
    manifests = renderings.of("production")
    (mongod,) = [pod.spec["containers"][0]["command"] for pod in pods(manifests) if pod.name == "mongodb"]
    assert {"--tlsMode=requireTLS", "--keyFile=/keyfile/keyfile"} <= set(mongod)
    nats = (K8S / "components" / "nats" / "nats.conf").read_text()
    assert re.findall(r"^ +user: (\w+)$", nats, re.MULTILINE) == ["exporter", "delivery", "scheduler", "system"]
    assert len(re.findall(r"^(?:  )?tls \{$", nats, re.MULTILINE)) == 2
    for _, container, service in services_pods(manifests):
        found = values(container)
        assert service == "gateway" or found["NATS_CA_FILE"] == "/etc/catalog-exports/tls/ca.crt"
        assert service == "gateway" or found.get("GRPC_REFLECTION", "false") == "false"


def test_the_secrets_for_production_are_those_that_are_asked_for(renderings: Renderings) -> None:
    script = renderings.k8s / "overlays" / "production" / "make-secrets.sh"
    made = subprocess.run([script], capture_output=True, text=True, check=True).stdout
    found = {one["metadata"]["name"]: one["stringData"] for one in yaml.safe_load_all(made)}
    documented = documented_secrets()
    optional = {"SIGNING_KEY_PREVIOUS", "CATALOGUE_URI"}
    assert {name: documented[name] - optional for name in found} == {name: set(data) for name, data in found.items()}
    assert parse_master_keys(found["catalog-exports"]["MASTER_KEYS"])
    assert len(set(re.findall(r"://\w+:(\w+)@", made))) == 10  # six of MongoDB, four of NATS
    for service, uri in ((key, uri) for key, uri in found["catalog-exports"].items() if key.endswith("_MONGODB_URI")):
        assert "tls=true&tlsCAFile=/etc/catalog-exports/tls/ca.crt" in uri, service
    for service in ("EXPORTER", "DELIVERY", "SCHEDULER"):
        password = found["nats"][f"NATS_{service}_PASSWORD"]
        assert f"tls://{service.lower()}:{password}@" in found["catalog-exports"][f"{service}_NATS_URL"]


def test_production_marks_what_must_be_changed() -> None:
    text = (K8S / "overlays" / "production" / "kustomization.yaml").read_text()
    assert len(re.findall(r"\bYours\b", text)) >= 5


def test_nats_syncs_every_message() -> None:
    for place in ("components/nats", "overlays/local"):
        assert re.search(r"^\s*sync_interval: always$", (K8S / place / "nats.conf").read_text(), re.MULTILINE)


def test_mongodb_keeps_a_snapshot_for_an_hour(renderings: Renderings) -> None:
    for case in ("local", "production"):
        (pod,) = [pod for pod in pods(renderings.of(case)) if pod.name == "mongodb"]
        assert "--setParameter=minSnapshotHistoryWindowInSeconds=3600" in pod.spec["containers"][0]["command"]


def test_the_prometheus_rule_equals_the_alerts_file(renderings: Renderings) -> None:
    (rule,) = of_kind(renderings.of("monitoring"), "PrometheusRule")
    alerts = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text())
    assert rule["spec"] == alerts, "run deploy/k8s/components/monitoring/make-rule.sh"


def test_the_dashboard_is_a_config_map_that_grafana_finds(renderings: Renderings) -> None:
    (found,) = [
        one for one in of_kind(renderings.of("monitoring"), "ConfigMap") if "dashboard" in one["metadata"]["name"]
    ]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert list(found["data"].values()) == [(ROOT / "deploy" / "monitoring" / "dashboard.json").read_text()]
