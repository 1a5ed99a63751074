"""The Python client of Catalog Exports, and the command line `catalog-exports`.

    from catalog_exports import CatalogExports

    with CatalogExports("https://exports.example.com", key) as client:
        client.exports.create("csv", filters={"brand": "Acme"}).wait().download("acme.csv")

`AsyncCatalogExports` is the same for asyncio. Both speak REST only (docs/cli.md).
"""

from catalog_exports.client.aio.client import AsyncCatalogExports
from catalog_exports.client.aio.jobs import AsyncJob
from catalog_exports.client.errors import (
    ApiError,
    CatalogExportsError,
    ChecksumMismatch,
    JobNotCompleted,
    KeyRejected,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WaitTimedOut,
)
from catalog_exports.client.sync.client import CatalogExports
from catalog_exports.client.sync.jobs import Job

__all__ = [
    "ApiError",
    "AsyncCatalogExports",
    "AsyncJob",
    "CatalogExports",
    "CatalogExportsError",
    "ChecksumMismatch",
    "Job",
    "JobNotCompleted",
    "KeyRejected",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimedOut",
]
