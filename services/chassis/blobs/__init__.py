"""Stores files in a folder or in a bucket, chosen by a URL."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from services.chassis.blobs.contract import BlobStore
from services.chassis.blobs.local import LocalStore


async def open_store(url: str) -> BlobStore:
    """The store at `file:///folder`, which is created if it does not exist, or at `s3://bucket/prefix`.

    Raises:
        OSError: the URL is neither, or the store cannot be used.
    """
    parts = urlsplit(url)
    if not parts.query and not parts.fragment:
        if parts.scheme == "file" and not parts.netloc and parts.path:
            return LocalStore(Path(url2pathname(parts.path)))
        if parts.scheme == "s3" and parts.netloc:
            # Imported here, as it takes 0.25 s, and a folder does not need the `s3` extra.
            from services.chassis.blobs.s3 import open_bucket

            return await open_bucket(parts.netloc, parts.path.strip("/"))
    raise OSError(f"ARTIFACTS_URL must be file:///folder or s3://bucket/prefix, not {url!r}")
