"""Requests each export with the Python client, shows its progress, and downloads the file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog_exports import CatalogExports, CatalogExportsError

EXPORT_TIMEOUT = 120.0

Watch = Callable[[str, float], None]
"""Receives the stage and the percentage of a running export."""


class ExportFailed(CatalogExportsError):
    """A file is not as it should be; the message is for the user."""


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
    Export("xml", "products.xml"),
    Export("parquet", "products.parquet"),
    Export("zip", "products.zip", {"escape_formulas": False, "max_rows_per_file": PART_ROWS}),
)


@dataclass(frozen=True, slots=True)
class Download:
    """A downloaded file."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Exported:
    """A downloaded file; `seconds` from the request to the completed job."""

    export: Export
    job_id: str
    download: Download
    records: int
    seconds: float


def fetch(client: CatalogExports, export: Export, platform_ids: Sequence[str], folder: Path, watch: Watch) -> Exported:
    """Export, wait, and download; the client compares the file's SHA-256 with that of the job.

    Args:
        platform_ids: where the file is delivered; other platforms may belong to another demo on the same servers.

    Raises:
        CatalogExportsError: with the gateway's answer.
    """
    started = time.monotonic()
    job = client.exports.create(export.form, export.body, platform_ids=platform_ids)
    for state in job.events(EXPORT_TIMEOUT):
        if state.is_live:
            watch(state.stage or "queued", (state.progress and state.progress.percent) or 0.0)
    data = job.wait(EXPORT_TIMEOUT).data
    seconds = time.monotonic() - started
    folder.mkdir(parents=True, exist_ok=True)
    download = Download(job.download(folder / export.file), data.file_size or 0, data.sha256 or "")
    if data.warnings:
        raise ExportFailed(f"{export.file}: unexpected warnings: {data.warnings}")
    return Exported(export, job.id, download, data.total_records or 0, seconds)
