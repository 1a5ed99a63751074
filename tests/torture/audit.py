"""The final account, kept from outside: over REST, at the destinations, and in the folder of the artifact store."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.torture.account import DUPLICATED, LOST, ORPHANED, STUCK, WRONG, Account, Job
from tests.torture.clients import Platform
from tests.torture.orders import ENDED, References
from tests.torture.rest import Rest

QUIET_TIMEOUT = 180.0
"""Seconds for the clean-ups to remove what killed processes left."""
IGNORED = {"deployment.id"}


class Audit:
    """One look at everything, after all faults have ended.

    Args:
        jobs: all accepted jobs, those of schedules too.
    """

    def __init__(
        self,
        account: Account,
        jobs: Sequence[Job],
        rests: Mapping[str, Rest],
        platforms: Mapping[str, Sequence[Platform]],
        references: References,
        artifacts: Path,
    ) -> None:
        self._account = account
        self._jobs = {job.id: job for job in jobs}
        self._rests = rests
        self._platforms = platforms
        self._references = references
        self._artifacts = artifacts

    def run(self) -> None:
        """Record every difference between what was promised and what is there."""
        for tenant in self._rests:
            self._check_jobs(tenant)
        self._check_artifacts()
        destinations = {one.destination.kind: one.destination for some in self._platforms.values() for one in some}
        for kind, destination in destinations.items():
            self._check_objects(kind, dict(destination.files()))
            for left in _eventually_none(destination.leftovers):
                self._account.found(ORPHANED, f"{kind}: {left}")

    def _check_jobs(self, tenant: str) -> None:
        expected = {job.id: job for job in self._jobs.values() if job.tenant == tenant and not job.is_deleted}
        listed = {one["id"]: one for one in self._rests[tenant].items("/exports/jobs")}
        for job_id in listed.keys() - expected.keys():
            known = self._jobs.get(job_id)
            self._account.found(
                DUPLICATED, f"job {job_id} of {tenant} is not expected; {'it was deleted' if known else 'unknown'}"
            )
        for job_id in expected.keys() - listed.keys():
            self._account.found(LOST, f"job {job_id} of {tenant} is not listed")
        for job_id in expected.keys() & listed.keys():
            self._check_job(expected[job_id], listed[job_id])

    def _check_job(self, job: Job, now: Mapping[str, Any]) -> None:
        if now["status"] not in ENDED:
            self._account.found(STUCK, f"job {job.id} is {now['status']}")
        for name in ("status", "sha256", "file_size", "completed_at", "total_records"):
            if job.final and job.final.get(name) != now.get(name):
                self._account.found(
                    DUPLICATED, f"job {job.id} ended twice: {name} was {job.final.get(name)}, is {now.get(name)}"
                )
        job.final = dict(now)

    def _check_artifacts(self) -> None:
        """One file for each completed job that was not deleted, with the job's hash, and nothing else."""
        expected = {
            job.id: job for job in self._jobs.values() if job.final.get("status") == "completed" and not job.is_deleted
        }

        def surplus() -> list[str]:
            kept: set[str] = set()
            more = []
            for path, job_id in self._stored():
                if job_id in expected and job_id not in kept and path.suffix != ".part":
                    kept.add(job_id)
                elif path.name not in IGNORED:
                    more.append(path.as_posix())
            return more

        for left in _eventually_none(surplus):
            self._account.found(ORPHANED, f"artifact store: {left}")
        there = {job_id: path for path, job_id in self._stored()}
        for job_id, job in expected.items():
            if job_id not in there:
                self._account.found(LOST, f"job {job_id} is completed, and its file is gone")
            else:
                self._check_content(job, there[job_id].read_bytes())

    def _check_content(self, job: Job, data: bytes) -> None:
        self._account.count("stored files compared")
        if hashlib.sha256(data).hexdigest() != job.final["sha256"]:
            self._account.found(WRONG, f"job {job.id}: its stored file has another hash")
        elif not self._references.is_right(job.order, data, int(job.final["total_records"])):
            self._account.found(WRONG, f"job {job.id}: its stored file is not what was ordered: {job.order.name}")

    def _stored(self) -> list[tuple[Path, str]]:
        """All files of the artifact store, and the job that each belongs to: `tenant/job/fence/file`."""
        found = [path for path in self._artifacts.rglob("*") if path.is_file()]
        return [(path, path.parent.parent.name if path.name.startswith("export-") else "") for path in found]

    def _check_objects(self, kind: str, files: Mapping[str, str]) -> None:
        """Exactly one object for each job and platform, with the job's hash."""
        expected = {}
        for job in self._jobs.values():
            for platform in self._platforms[job.tenant]:
                if platform.id in job.platforms and platform.destination.kind == kind and "sha256" in job.final:
                    expected[f"{job.tenant}/{job.object_name}"] = job.final["sha256"]
        self._account.count("objects expected at destinations", len(expected))
        self._account.count("objects found at destinations", len(files))
        for name in expected.keys() - files.keys():
            self._account.found(LOST, f"{kind}: {name} is missing")
        for name in files.keys() - expected.keys():
            self._account.found(DUPLICATED, f"{kind}: {name} is not expected")
        for name in files.keys() & expected.keys():
            if files[name] != expected[name]:
                self._account.found(WRONG, f"{kind}: {name} has another hash than its job")


def _eventually_none(remaining: Callable[[], list[str]]) -> list[str]:
    """What remains once nothing does, or after the time for the clean-ups."""
    deadline = time.monotonic() + QUIET_TIMEOUT
    while (found := remaining()) and time.monotonic() < deadline:
        time.sleep(1.0)
    return found
