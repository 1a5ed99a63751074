"""Every overlay and component is valid for a current Kubernetes and follows our own rules."""

import functools
import json

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.unit.k8s import (
    custom_rules,
    environment_rules,
    network_rules,
    pod_rules,
    rights_rules,
    shutdown_rules,
    wiring_rules,
)
from tests.unit.k8s.manifests import WITHOUT_NAMESPACE
from tests.unit.k8s.rendering import CASES, Renderings

RULES = (
    *pod_rules.RULES,
    *environment_rules.RULES,
    *wiring_rules.RULES,
    *shutdown_rules.RULES,
    *custom_rules.RULES,
    *network_rules.RULES,
    *rights_rules.RULES,
)


@functools.cache
def validate(manifest: str) -> None:
    """Cached, because most objects are the same in all renderings and the schemas are large."""
    kubernetes_validate.validate(json.loads(manifest), kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid_for_the_newest_kubernetes(renderings: Renderings, case: str) -> None:
    for one in renderings.of(case):
        if one["kind"] not in custom_rules.FIELDS:
            validate(json.dumps(one))


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_in_the_namespace_and_unique(renderings: Renderings, case: str) -> None:
    objects = [one for one in renderings.of(case) if one["kind"] not in WITHOUT_NAMESPACE]
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    assert {one["metadata"].get("namespace") for one in objects} == {"catalog-exports"}
    others = [one for one in renderings.of(case) if one["kind"] in WITHOUT_NAMESPACE]
    assert {one["metadata"].get("namespace") for one in others} == {None}


@pytest.mark.parametrize("case", CASES)
def test_the_rules_are_followed(renderings: Renderings, case: str) -> None:
    manifests = renderings.of(case)
    complaints = {rule.__name__: list(rule(manifests)) for rule in RULES}
    assert {name: found for name, found in complaints.items() if found} == {}
