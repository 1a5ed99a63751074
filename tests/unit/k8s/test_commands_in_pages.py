"""Commands for operators name objects that exist, and those that need no cluster are run."""

import re
import subprocess

import yaml

from tests.unit.k8s.manifests import Manifest, names, of_kind
from tests.unit.k8s.rendering import KUBECTL, ROOT, Renderings

PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "deploy" / "k8s").rglob("*.md")])


def test_jobs_are_made_from_cron_jobs_that_exist(renderings: Renderings) -> None:
    asked = {name for page in PAGES for name in re.findall(r"--from=cronjob/([\w-]+)", page.read_text())}
    assert len(asked) == 3
    assert asked <= names(renderings.of("production"), "CronJob")


def test_logs_are_read_from_containers_that_exist(renderings: Renderings) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for job, container in re.findall(r"k logs job/([\w-]+) -c ([\w-]+)", text):
        (origin,) = set(re.findall(rf"k create job {job} --from=cronjob/([\w-]+)", text))
        assert container in containers(renderings, origin), (job, container)


def test_the_command_of_the_page_chooses_the_backup_that_is_restored(renderings: Renderings) -> None:
    """Only `kubectl create job` needs a cluster, for the CronJob; the rest of the pipe works without one."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (words,) = re.findall(r"k (set env --local [^|]+) \|", text)
    cron = cron_job(renderings, "mongodb-restore")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "restore"}, **cron["spec"]["jobTemplate"]}
    made = subprocess.run(
        [KUBECTL, *words.split()], input=yaml.safe_dump(job), capture_output=True, text=True, check=True, timeout=60
    ).stdout
    found = yaml.safe_load(made)["spec"]["template"]["spec"]["containers"]
    values = {
        container["name"]: [entry.get("value") for entry in container.get("env", ()) if entry["name"] == "BACKUP"]
        for container in found
    }
    assert values == {"archive": ["2026-03-01T01-47-00Z.archive.gz"], "mongorestore": []}


def cron_job(renderings: Renderings, name: str) -> Manifest:
    (found,) = [one for one in of_kind(renderings.of("production"), "CronJob") if one["metadata"]["name"] == name]
    return found


def containers(renderings: Renderings, name: str) -> list[str]:
    spec = cron_job(renderings, name)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return [str(container["name"]) for container in spec["containers"]]
