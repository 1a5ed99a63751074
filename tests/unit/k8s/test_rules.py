"""Every rule reports manifests that break it."""

import copy

import pytest

from tests.unit.k8s.breakages import BREAKAGES, Breakage
from tests.unit.k8s.rendering import Renderings
from tests.unit.k8s.test_manifests import RULES


@pytest.mark.parametrize("breakage", BREAKAGES, ids=str)
def test_a_broken_manifest_is_reported(renderings: Renderings, breakage: Breakage) -> None:
    manifests = copy.deepcopy(renderings.of(breakage.case))
    breakage.break_(manifests)
    assert list(breakage.rule(manifests)) != []


def test_every_rule_is_tested() -> None:
    assert {breakage.rule for breakage in BREAKAGES} == set(RULES)
