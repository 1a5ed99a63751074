"""Where finished files lie: `<tenant>/<job>/<fence>/<file>`, so that two workers on a job never share a place."""

from dataclasses import dataclass

from services.exporter.jobs import LIVE, Job, JobState


@dataclass(frozen=True, slots=True)
class Place:
    """What a key in the artifact store says."""

    job_id: str
    fence: int


def artifact_key(job: Job, extension: str) -> str:
    """The key under which the holder of this fence writes."""
    return f"{job.tenant}/{job.id}/{job.fence}/export{extension}"


def place_of(key: str) -> Place | None:
    """The job and fence of a key, also of one with a suffix; None for a key that is not ours."""
    parts = key.split("/")
    if len(parts) != 4 or not parts[2].isdecimal():
        return None
    return Place(parts[1], int(parts[2]))


def is_garbage(key: str, job: Job | None) -> bool:
    """Whether nobody will ever need what lies under `key`, given its job as it is now (None: there is none)."""
    place = place_of(key)
    if place is None:
        return False
    if job is None:
        return True
    if job.state in LIVE:
        return place.fence < job.fence
    kept = job.artifact.key if job.artifact is not None and job.state is JobState.COMPLETED else None
    return key != kept
