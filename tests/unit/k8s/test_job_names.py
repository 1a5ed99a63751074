"""A Job has another name when its content changes, because its template cannot be changed."""

import copy
from typing import Any

from deploy.release.job_names import HASHED, name_of, named_by_content
from tests.unit.k8s.manifests import of_kind
from tests.unit.k8s.rendering import Renderings

HOOKS = {"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}


def test_the_only_job_is_named_by_its_content(renderings: Renderings) -> None:
    (job,) = of_kind(renderings.of("production"), "Job")
    assert job["metadata"]["name"] == name_of(job), "run `.venv/bin/python -m deploy.release.job_names`"
    assert HASHED.sub("", job["metadata"]["name"]) == "mongodb-initiate"
    assert {one["metadata"]["name"] for one in of_kind(renderings.of("local"), "Job")} == {job["metadata"]["name"]}


def test_another_script_image_or_variable_gives_another_name(renderings: Renderings) -> None:
    (job,) = of_kind(renderings.of("production"), "Job")
    container = ("spec", "template", "spec", "containers", 0)
    changed = []
    for path, value in (
        ((*container, "image"), "registry.example.com/catalog-exports/exporter:0.9.9"),
        ((*container, "env", 0, "name"), "OTHER"),
        (("spec", "template", "spec", "volumes", 0, "configMap", "name"), "mongodb-initiate-another1"),
    ):
        other = copy.deepcopy(job)
        place: Any = other
        for key in path[:-1]:
            place = place[key]
        assert place[path[-1]] != value
        place[path[-1]] = value
        (named,) = named_by_content([other])
        changed.append(named["metadata"]["name"])
    assert len({*changed, job["metadata"]["name"]}) == 4


def test_gitops_tools_see_no_drift(renderings: Renderings) -> None:
    """Argo CD runs it as a hook; nothing removes it after its end, so no tool creates it again and again."""
    for case in ("local", "production"):
        for job in of_kind(renderings.of(case), "Job"):
            assert job["metadata"]["annotations"].items() >= HOOKS.items()
            assert "ttlSecondsAfterFinished" not in job["spec"]
