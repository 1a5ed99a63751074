"""Finds the rows that the file of one job has and that of a later one has not, from their manifests."""

import asyncio
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from services.chassis.blobs.contract import BlobError, BlobMissing, BlobStore
from services.chassis.faults import Unavailable
from services.exporter.errors import WrongState
from services.exporter.export.trackings import copy_manifest
from services.exporter.jobs.job import Job
from services.exporter.manifests.baseline import Baseline, BaselineDamaged
from services.exporter.manifests.manifest import RECORDS, Manifest
from services.exporter.manifests.tracker import shown_key
from services.exporter.transcode.row_hashes import RECORD_BYTES

MAX_CONCURRENT = 2
"""Comparisons at a time in one process; each copies two manifests to this machine."""
READ_RECORDS = 4_096
_NO_KEY = bytes(4)


@dataclass(frozen=True, slots=True)
class LostRows:
    """How many rows are lost, and the keys of the first of them, as people write them."""

    count: int
    keys: tuple[str, ...]


class LostRowFinder:
    """Compares the manifests of two jobs."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def find(self, base: Job, job: Job, limit: int) -> LostRows:
        """The rows of `base` whose keys `job` has not.

        Raises:
            WrongState: one of them has no manifest, or their keys are of different fields.
            Unavailable: the artifact store does not answer.
        """
        before, after = _manifest_of(base), _manifest_of(job)
        if before.fields != after.fields:
            text = (
                f"The keys of the jobs are of different fields: {', '.join(before.fields)}; {', '.join(after.fields)}."
            )
            raise WrongState("manifests_differ", text)
        async with self._slots:
            with tempfile.TemporaryDirectory(prefix="lost-") as folder:
                try:
                    folders = Path(folder, "before"), Path(folder, "after")
                    for manifest, place in zip((before, after), folders, strict=True):
                        place.mkdir()
                        await copy_manifest(self._blobs, manifest, place)
                    return await asyncio.to_thread(_compare, *folders, before.rows, limit)
                except (BlobMissing, BaselineDamaged) as exc:
                    raise WrongState("manifest_missing", "The manifest of one of the jobs is gone.") from exc
                except BlobError as exc:
                    text = "The artifact store is not available; try again shortly."
                    raise Unavailable("artifact_store_unavailable", text) from exc


def _manifest_of(job: Job) -> Manifest:
    if job.manifest is None:
        text = f"The job {job.id} has no manifest, or it is not kept any more; exports keep one with manifest: true."
        raise WrongState("manifest_missing", text)
    return job.manifest


def _compare(before: Path, after: Path, rows: int, limit: int) -> LostRows:
    with Baseline(before, rows) as baseline, (after / RECORDS).open("rb") as file:
        while records := file.read(READ_RECORDS * RECORD_BYTES):
            pieces = (records[at : at + RECORD_BYTES] + _NO_KEY for at in range(0, len(records), RECORD_BYTES))
            baseline.sift(b"".join(pieces))
        keys = tuple(shown_key(key) for key in islice(baseline.missing_keys(), limit))
        return LostRows(baseline.missing(), keys)
