"""Groups of operations in the document, by resource."""

import re
from collections.abc import Iterable

# In the order of the page; the first pattern that fits a route's path counts.
_TAGS = (
    ("Exports", r"/exports/\{format\}/products", "Request files of products. What is made is a job."),
    (
        "Deliveries",
        r"/exports/jobs/\{job_id\}/deliveries|/exports/deliveries",
        "Uploads of finished files to platforms, with attempts and receipts.",
    ),
    ("Jobs", r"/exports/jobs", "Requested exports: their progress, their files, and how they ended."),
    ("Profiles", r"/exports/profiles", "Exports that are saved under a name, with versions, and run again."),
    ("Platforms", r"/exports/platforms", "Places that files are delivered to: S3, MinIO, SFTP, FTP, Google Drive."),
    ("Schedules", r"/exports/schedules", "Exports that are requested at the times of a cron expression."),
    (
        "Webhooks",
        r"/webhooks",
        "Signed requests to your own endpoints about what has happened (Standard Webhooks 1.0).",
    ),
    ("Events", r"/events", "What has happened, in order, for clients that cannot receive webhooks."),
    (
        "Catalogue",
        r"/catalogue|/formats|/exports/templates|/platform-types",
        "What can be exported, as what, and where to.",
    ),
    ("Limits", r"/limits|/me", "What a tenant may use, and what it uses."),
    ("Audit log", r"/audit", "Who has changed what, when and with what result."),
)


def tag_of(path: str) -> str:
    """The tag of a route, by its path below `/api/v1`."""
    return next((name for name, pattern, _ in _TAGS if re.match(pattern, path)), path.split("/")[1].capitalize())


def described(used: Iterable[str]) -> list[dict[str, str]]:
    """The tags with their descriptions."""
    known = {name: description for name, _, description in _TAGS}
    ordered = sorted(set(used), key=lambda name: (list(known).index(name) if name in known else len(known), name))
    return [{"name": name, **({"description": known[name]} if name in known else {})} for name in ordered]
