"""Requests each export over REST, shows its progress, and downloads the file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.demo.rest import Download, ExportFailed, Rest

POLL_EVERY = 0.1
EXPORT_TIMEOUT = 120.0

Watch = Callable[[str, float], None]
"""Receives the stage and the percentage of a running export."""


@dataclass(frozen=True, slots=True)
class Export:
    """One request and the name of its file."""

    form: str
    file: str
    body: dict[str, Any] = field(default_factory=dict)


PART_ROWS = 2_000
# Sets options whose defaults a deployment may change, because the files are compared with the catalogue.
EXPORTS = (
    Export("csv", "products.csv", {"escape_formulas": False}),
    Export("json", "products.json"),
    Export("excel", "products.xlsx", {"include_sheets": ["products", "suppliers"]}),
    Export("zip", "products.zip", {"escape_formulas": False, "max_rows_per_file": PART_ROWS}),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """A downloaded file; `seconds` from the request to the completed job."""

    export: Export
    job_id: str
    download: Download
    records: int
    seconds: float


def fetch(rest: Rest, export: Export, platform_ids: Sequence[str], folder: Path, watch: Watch) -> Exported:
    """Export, wait, download, and compare size and SHA-256 with what the job says.

    Args:
        platform_ids: where the file is delivered; other platforms may belong to another demo on the same servers.

    Raises:
        ExportFailed: with the gateway's answer.
    """
    started = time.monotonic()
    body = {**export.body, "platform_ids": list(platform_ids)}
    job = rest.call("POST", f"/exports/{export.form}/products", body)
    job = _completed(rest, job["id"], started + EXPORT_TIMEOUT, watch)
    seconds = time.monotonic() - started
    download = rest.download(f"/exports/jobs/{job['id']}/download", folder / export.file)
    if (download.size, download.sha256) != (job["file_size"], job["sha256"]):
        raise ExportFailed(f"{export.file}: its size or SHA-256 differs from the job's")
    if job["warnings"]:
        raise ExportFailed(f"{export.file}: unexpected warnings: {job['warnings']}")
    return Exported(export, job["id"], download, job["total_records"], seconds)


def _completed(rest: Rest, job_id: str, deadline: float, watch: Watch) -> Any:
    while True:
        job = rest.call("GET", f"/exports/jobs/{job_id}")
        if job["status"] == "completed":
            return job
        if job["status"] != "processing":
            raise ExportFailed(f"the {job['format']} export {job['status']}: {job.get('error')}")
        if time.monotonic() > deadline:
            raise ExportFailed(f"the {job['format']} export is not ready after {EXPORT_TIMEOUT:.0f} s: {job}")
        watch(job.get("stage") or "queued", (job.get("progress") or {}).get("percent") or 0.0)
        time.sleep(POLL_EVERY)
