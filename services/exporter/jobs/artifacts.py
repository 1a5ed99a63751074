"""Where finished files lie: `<tenant>/<job>/<fence>/export-<born>.csv`, so that no two attempts ever share a place.

A job that was deleted and then asked for again under its idempotency key has the same id and begins at fence 1 again;
`born`, the time it was accepted, tells the two apart.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.exporter.jobs.job import LIVE, Job, JobState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Strict, for what looks like ours and has no job is removed, and the store may hold other things.
_KEY = re.compile(
    r"[a-z0-9_-]+/(?P<job_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<fence>[0-9]{1,18})"
    r"/export-(?P<born>[0-9a-f]{1,16})\.[a-z0-9.]+"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a key in the artifact store says."""

    job_id: str
    fence: int
    born: int
    """Milliseconds since 1970."""


def artifact_key(job: Job, extension: str) -> str:
    """The key under which the holder of this fence writes."""
    return f"{job.tenant}/{job.id}/{job.fence}/export-{_born(job):x}{extension}"


def place_of(key: str) -> Place | None:
    """The job and fence of a key, also of one with a suffix; None for a key that is not ours."""
    found = _KEY.fullmatch(key)
    return None if found is None else Place(found["job_id"], int(found["fence"]), int(found["born"], 16))


def is_garbage(key: str, job: Job | None) -> bool:
    """Whether nobody will ever need what lies under `key`, given its job as it was after the key was seen (None: none).

    The answer holds whatever happens to the job afterwards: fences only grow, and an ended job that is started again
    writes under the next fence.
    """
    place = place_of(key)
    if place is None:
        return False
    if job is None or place.born != _born(job):
        return True
    if job.state in LIVE:
        return place.fence < job.fence
    kept = job.artifact.key if job.artifact is not None and job.state is JobState.COMPLETED else None
    return key != kept


def _born(job: Job) -> int:
    return (job.created_at - _EPOCH) // timedelta(milliseconds=1)
