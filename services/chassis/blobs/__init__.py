"""How a process keeps files: a folder, or a bucket, chosen by a URL."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from services.chassis.blobs.contract import BlobStore
from services.chassis.blobs.local import LocalStore


async def open_store(url: str) -> BlobStore:
    """The store at `file:///folder` or `s3://bucket/prefix`.

    Raises:
        OSError: the URL is of neither kind, or the store cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return LocalStore(Path(url2pathname(parts.path)))
    raise OSError(f"ARTIFACTS_URL must be file:///folder or s3://bucket/prefix, not {url!r}")
