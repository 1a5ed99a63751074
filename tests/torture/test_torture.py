"""A short seed of `make torture`."""

from pathlib import Path

import pytest

from tests.torture import plan
from tests.torture.cluster import LEASE
from tests.torture.report import findings
from tests.torture.run import Size, tortured

SEED = 12


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_few_faults_break_no_promise(tmp_path: Path) -> None:
    size = Size(replicas=1, mongods=1, clients=2, tenants={"small": 40})
    result = tortured(tmp_path, 4, SEED, size, print)
    assert result.account.findings == [], findings(result.account)
    assert len(result.caused) + len(result.skipped) == 4
    assert result.account.counts["jobs completed"] > 0


def test_a_seed_always_makes_the_same_plan_and_another_seed_another_one() -> None:
    kinds = plan.kinds(2, 3, LEASE)
    first = plan.made(1, 200, kinds)
    assert first == plan.made(1, 200, kinds)
    assert first != plan.made(2, 200, kinds)
    assert {fault.kind for fault in first} == {kind.name for kind in kinds}
