"""The pod's deletion cost follows the worker's work, changes rarely, and is no reason for an export to fail."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.chassis.faults import Unavailable
from services.chassis.kubernetes import OwnPod
from services.exporter.export import deletion_cost
from services.exporter.export.deletion_cost import ANNOTATION, PAUSE, QUIET, RETRY, DeletionCost, cost_of
from tests.certificates import LOOPBACK, Authority
from tests.integration.exporting import eventually, exporter, new_tenant, products
from tests.kubernetes_api import KubernetesApi, Policy, pod

OWN, OTHER = "exporter-worker-a", "exporter-worker-b"


@pytest.fixture
async def api(tmp_path: Path, authority: Authority) -> AsyncIterator[KubernetesApi]:
    """The API with two workers, and the account of the first."""
    served = KubernetesApi(tmp_path, authority)
    served.pods = {OWN: pod(OWN, {"kubectl.kubernetes.io/restartedAt": "today"}), OTHER: pod(OTHER)}
    served.renew("first", OWN)
    async with served.serving():
        yield served


def own_pod(api: KubernetesApi, name: str = OWN) -> OwnPod:
    return OwnPod(LOOPBACK, api.port, name, api.account)


class Worker:
    """The work and the time that the cost is told."""

    def __init__(self, api: KubernetesApi) -> None:
        self.work, self.now = 0.0, 1_000.0
        self.cost = DeletionCost(own_pod(api), lambda: self.work, lambda: self.now)

    async def after(self, seconds: float, work: float) -> None:
        """Look once, with this work, so many seconds later."""
        self.now, self.work = self.now + seconds, work
        await self.cost.look()


async def test_the_cost_rises_with_the_work_and_other_annotations_stay(api: KubernetesApi) -> None:
    worker = Worker(api)
    for work, cost in ((0.0, "0"), (0.5, "1"), (100.0, "64"), (7_200.0, "4096")):
        await worker.after(PAUSE, work)
        assert api.annotations(OWN) == {"kubectl.kubernetes.io/restartedAt": "today", ANNOTATION: cost}
    assert api.annotations(OTHER) == {}


async def test_an_annotation_that_an_earlier_container_left_is_corrected(api: KubernetesApi) -> None:
    api.pods[OWN] = pod(OWN, {ANNOTATION: "1024"})
    await Worker(api).after(0, 0.0)
    assert api.annotations(OWN) == {ANNOTATION: "0"}


async def test_the_cost_falls_only_after_a_quiet_time(api: KubernetesApi) -> None:
    worker = Worker(api)
    await worker.after(0, 40.0)
    for _ in range(int(QUIET) - 1):
        await worker.after(1, 0.0)
        assert api.annotations(OWN)[ANNOTATION] == "32"
    await worker.after(1, 33.0)  # as much work as before: the quiet time begins again
    await worker.after(QUIET - 1, 0.0)
    assert api.annotations(OWN)[ANNOTATION] == "32"
    await worker.after(1, 0.0)
    assert api.annotations(OWN)[ANNOTATION] == "0"


async def test_many_short_jobs_cause_few_changes(api: KubernetesApi) -> None:
    worker = Worker(api)
    for _, work in zip(range(600), itertools.cycle((0.0, 0.4, 0.9, 1.7)), strict=False):
        await worker.after(1, work)
    assert len(api.changes) <= 3


async def test_one_long_export_causes_few_changes(api: KubernetesApi) -> None:
    worker = Worker(api)
    for second in range(3_600):
        await worker.after(1, float(second))
    assert len(api.changes) <= 12
    assert api.annotations(OWN)[ANNOTATION] == "2048"


async def test_a_failure_is_logged_and_tried_again_a_minute_later(api: KubernetesApi) -> None:
    worker = Worker(api)
    api.answers = False
    with capture_logs() as logs:
        for _ in range(int(RETRY)):
            await worker.after(1, 5.0)
    assert [(one["event"], one["log_level"]) for one in logs] == [("deletion_cost_not_set", "warning")]
    assert "503" in logs[0]["reason"]
    api.answers = True
    await worker.after(1, 5.0)
    assert api.annotations(OWN)[ANNOTATION] == "4"


async def test_a_renewed_token_is_used(api: KubernetesApi) -> None:
    worker = Worker(api)
    await worker.after(0, 1.0)
    api.renew("second", OWN)
    await worker.after(PAUSE, 2.0)
    assert api.annotations(OWN)[ANNOTATION] == "2"


async def test_a_worker_changes_no_other_pod(api: KubernetesApi) -> None:
    with pytest.raises(Unavailable, match="its own pod only"):
        await own_pod(api, OTHER).annotate(ANNOTATION, "0")
    assert api.changes == []


async def test_a_worker_changes_no_other_annotation(api: KubernetesApi) -> None:
    with pytest.raises(Unavailable, match="no annotation but"):
        await own_pod(api).annotate("kubectl.kubernetes.io/restartedAt", "never")
    assert api.changes == []


async def test_another_account_changes_nothing(api: KubernetesApi) -> None:
    api.renew("other", OWN, account="gateway")
    with pytest.raises(Unavailable, match="cannot patch"):
        await own_pod(api).annotate(ANNOTATION, "0")


async def test_a_server_with_another_ca_gets_no_token(api: KubernetesApi) -> None:
    (api.account / "ca.crt").write_bytes(Authority("Another CA").pem)
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await own_pod(api).annotate(ANNOTATION, "0")


async def test_a_missing_account_is_reported(api: KubernetesApi) -> None:
    (api.account / "token").unlink()
    with pytest.raises(Unavailable, match="token"):
        await own_pod(api).annotate(ANNOTATION, "0")


ACCOUNT = "system:serviceaccount:catalog-exports:exporter-worker"
BY_WORKER: dict[str, Any] = {
    "namespace": "catalog-exports",
    "userInfo": {"username": ACCOUNT, "extra": {"authentication.kubernetes.io/pod-name": [OWN]}},
}
ANNOTATED = pod(OWN, {"a": "1"})
FORBIDDEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an annotation is removed": (ANNOTATED, pod(OWN)),
    "an annotation is added": (pod(OWN), ANNOTATED),
    "an image is changed": (ANNOTATED, {**ANNOTATED, "spec": {"containers": [{"image": "b:2"}]}}),
    "a label is removed": (ANNOTATED, {**ANNOTATED, "metadata": {"name": OWN, "annotations": {"a": "1"}}}),
    "a finalizer is added": (
        ANNOTATED,
        {**ANNOTATED, "metadata": {**ANNOTATED["metadata"], "finalizers": ["example.com/never"]}},
    ),
    "an owner is added": (
        ANNOTATED,
        {**ANNOTATED, "metadata": {**ANNOTATED["metadata"], "ownerReferences": [{"kind": "Node", "name": "n"}]}},
    ),
}


@pytest.mark.parametrize(("old", "new"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_policy_forbids_everything_else(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert Policy().refusal(BY_WORKER, old, new)


def test_the_policy_forbids_a_token_that_is_bound_to_no_pod() -> None:
    users: list[dict[str, Any]] = [{"username": ACCOUNT}, {"username": ACCOUNT, "extra": {}}]
    for user in users:
        told = {**BY_WORKER, "userInfo": user}
        assert Policy().refusal(told, pod(OWN), pod(OWN, {ANNOTATION: "1"})) == "A worker may change its own pod only."


def test_the_policy_allows_the_annotation_and_leaves_others_alone() -> None:
    assert Policy().refusal(BY_WORKER, pod(OWN), pod(OWN, {ANNOTATION: "1"})) is None
    assert Policy().refusal(BY_WORKER, pod(OWN, {ANNOTATION: "1"}), pod(OWN, {ANNOTATION: "2"})) is None
    assert Policy().refusal(BY_WORKER, pod(OWN, {ANNOTATION: "1"}), pod(OWN)) is None
    kubelet = {"namespace": "catalog-exports", "userInfo": {"username": "system:node:n"}}
    assert Policy().refusal(kubelet, ANNOTATED, pod(OTHER)) is None


@pytest.mark.parametrize(
    ("seconds", "cost"), [(0, 0), (0.01, 1), (1, 1), (2, 2), (3.9, 2), (4, 4), (1e9, 2**29), (1e12, 2**30)]
)
def test_costs_are_powers_of_two_that_fit_the_annotation(seconds: float, cost: int) -> None:
    assert cost_of(seconds) == cost


async def test_a_worker_keeps_its_pods_cost_up_to_date(
    api: KubernetesApi, clean_uri: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real worker: 0 when it starts, more while it exports, 0 afterwards. The pauses are shorter."""
    for name, value in (("PAUSE", 0.01), ("QUIET", 0.2)):
        monkeypatch.setattr(deletion_cost, name, value)
    monkeypatch.setattr("services.exporter.app.LOOK_EVERY", 0.01)
    told = {"kubernetes_service_host": LOOPBACK, "kubernetes_service_port": api.port}
    tenant = new_tenant()
    seen: list[str | None] = []

    async def watch() -> None:
        while True:
            if (cost := api.annotations(OWN).get(ANNOTATION)) not in seen[-1:]:
                seen.append(cost)
            await asyncio.sleep(0.002)

    async with exporter(clean_uri, nats_url, tmp_path, pod_name=OWN, service_account=api.account, **told) as running:
        await running.fill(tenant, products(20_000))
        await eventually("the idle worker has said so", lambda: _is(api, "0"))
        watching = asyncio.create_task(watch())
        await running.completed(tenant)
        await eventually("it is idle again", lambda: _is(api, "0"))
        watching.cancel()
    assert seen[0] == "0" and seen[-1] == "0" and len(seen) >= 3, seen


async def _is(api: KubernetesApi, cost: str) -> bool:
    return api.annotations(OWN).get(ANNOTATION) == cost
