"""botocore's descriptions of the S3 API, which every client needs and which are slow to read."""

from functools import cache

from botocore.loaders import Loader, create_loader


@cache
def s3_models() -> Loader:
    """One loader for all clients of this process: it reads each description once, in about 150 ms of CPU time."""
    return create_loader()
