"""The components that are examples fit the rest: the quota is large enough, and the store has every Secret."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import pytest
import yaml

from tests.unit.k8s.environment_rules import references
from tests.unit.k8s.manifests import Manifest, of_kind, pods
from tests.unit.k8s.rendering import Renderings, render

UNITS = {"m": Decimal("0.001"), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30)}
WORKERS = 10
"""The most that the autoscalers start."""


def quantity(text: str) -> Decimal:
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    return Decimal(text.removesuffix(unit)) * UNITS.get(unit, Decimal(1))


@pytest.mark.parametrize(("text", "number"), [("100m", "0.1"), ("2", "2"), ("64Mi", "67108864"), ("1Gi", "1073741824")])
def test_quantities_are_read(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


def used(manifests: Sequence[Manifest]) -> dict[str, Decimal]:
    """What the manifests may use at most: all workers, one more pod for each Deployment, and every Job."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for one in of_kind(manifests, "Deployment", "StatefulSet", "Job", "CronJob"):
        replicas = one["spec"].get("replicas", WORKERS if one["kind"] == "Deployment" else 1)
        count = replicas + (one["kind"] == "Deployment")
        (pod,) = pods([one])
        found["pods"] += count
        for kind in ("requests", "limits"):
            for name in ("cpu", "memory", "ephemeral-storage"):
                together = sum(quantity(each["resources"][kind][name]) for each in pod.spec["containers"])
                before = [quantity(each["resources"][kind][name]) for each in pod.spec.get("initContainers", ())]
                found[f"{kind}.{name}"] += count * max([Decimal(together), *before])
        for claim in one["spec"].get("volumeClaimTemplates", ()):
            found["persistentvolumeclaims"] += count
            found["requests.storage"] += count * quantity(claim["spec"]["resources"]["requests"]["storage"])
    return found


def test_the_quota_is_enough_for_production_during_an_update_but_not_for_twice_as_much(renderings: Renderings) -> None:
    (quota,) = of_kind(renderings.of("quota"), "ResourceQuota")
    hard = {name: quantity(text) for name, text in quota["spec"]["hard"].items()}
    needed = used(renderings.of("production"))
    assert {name: needed[name] for name, most in hard.items() if not needed[name] <= most < 2 * needed[name]} == {}


def test_the_store_has_every_secret_that_operators_create_by_hand(renderings: Renderings) -> None:
    found = {one["spec"]["target"]["name"] for one in of_kind(renderings.of("external-secrets"), "ExternalSecret")}
    asked = {name for pod in pods(renderings.of("production")) for kind, name, _ in references(pod) if kind == "Secret"}
    assert found == {name for name in asked if not name.endswith("-mtls")}


def test_a_secret_that_the_overlay_generates_restarts_the_pods_that_use_it(renderings: Renderings) -> None:
    """What deploy/k8s/README.md says of Secrets without a store."""
    page = (renderings.k8s / "README.md").read_text()
    (example,) = [block for block in page.split("```yaml")[1:] if "secretGenerator" in block.partition("```")[0]]
    generator = yaml.safe_load(example.partition("```")[0])
    templates = []
    for password in ("first", "second"):
        folder = renderings.k8s / "overlays" / f"generated-{password}"
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {"namespace": "catalog-exports", "resources": ["../../base"], "transformers": ["../../namespace"]}
                | generator
            )
        )
        for entry in generator["secretGenerator"]:
            for file in entry.get("envs", ()):
                (folder / file).write_text(f"SIGNING_KEY={password}\n")
        templates.append({pod.name: pod.spec for pod in pods(render(folder))})
    assert {name for name in templates[0] if templates[0][name] != templates[1][name]} == {
        "gateway",
        "exporter",
        "exporter-worker",
        "delivery",
        "scheduler",
    }
