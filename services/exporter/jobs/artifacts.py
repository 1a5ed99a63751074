"""Keys of finished files: `<tenant>/<job>/<fence>/export-<born>.csv`, so that no two attempts write to the same key.

The blobs of the file's manifest are beside it: `manifest-<born>.records` and `manifest-<born>.keys`.

A job that was deleted and requested again under its idempotency key has the same id and starts at fence 1. `born`, the
time at which the job was accepted, distinguishes the two.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.exporter.jobs.job import LIVE, Job, JobState
from services.exporter.manifests.manifest import SUFFIXES, Manifest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Strict: a matching key without a job is deleted, and the store may hold files of others.
_KEY = re.compile(
    r"[a-z0-9_-]+/(?P<job_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<fence>[0-9]{1,18})"
    r"/(?P<what>export|manifest)-(?P<born>[0-9a-f]{1,16})\.[a-z0-9.]+"
)


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """The parts of a key in the artifact store."""

    job_id: str
    fence: int
    born: int
    """Milliseconds since 1970."""
    is_manifest: bool = False


def artifact_key(job: Job, extension: str) -> str:
    """The key to which the holder of this fence writes."""
    return f"{job.tenant}/{job.id}/{job.fence}/export-{_born(job):x}{extension}"


def manifest_key(job: Job) -> str:
    """The same for the manifest, without the suffixes of its blobs."""
    return f"{job.tenant}/{job.id}/{job.fence}/manifest-{_born(job):x}"


def manifest_keys(manifest: Manifest | None) -> list[str]:
    """The keys of the blobs of a manifest."""
    return [] if manifest is None else [manifest.key + suffix for suffix in SUFFIXES]


def parse_key(key: str) -> ArtifactRef | None:
    """The parts of a key, also of one with a suffix; None for a key of another form."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    return ArtifactRef(found["job_id"], int(found["fence"]), int(found["born"], 16), found["what"] == "manifest")


def is_garbage(key: str, job: Job | None) -> bool:
    """Whether the file of `key` will never be needed, given its job as read after the key was listed (None: no job).

    Later changes of the job do not matter: fences only grow, and a job that is restarted writes under the next fence.
    """
    ref = parse_key(key)
    if ref is None:
        return False
    if job is None or ref.born != _born(job):
        return True
    if job.state in LIVE:
        return ref.fence < job.fence
    if ref.is_manifest:
        return key not in manifest_keys(job.manifest)
    kept = job.artifact.key if job.artifact is not None and job.state is JobState.COMPLETED else None
    return key != kept


def _born(job: Job) -> int:
    return (job.created_at - _EPOCH) // timedelta(milliseconds=1)
