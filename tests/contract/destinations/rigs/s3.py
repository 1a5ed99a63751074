"""Real S3 servers, SeaweedFS and rclone's, which check signatures and hashes.

What is in a bucket of SeaweedFS is read with botocore's own client, past the destination and past any proxy.
"""

import uuid
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deploy.local.servers import HOST
from deploy.local.servers.seaweedfs import SeaweedFS
from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.s3.destination import S3, Bucket
from tests.contract.destinations.rigs._rclone import USER, RcloneRig
from tests.real_servers import Rclone, ReadOnlyBuckets, seaweedfs
from tests.waiting import eventually

BUCKET = "bucket"
"""Of rclone's server; SeaweedFS is shared and has one for each rig."""
SECRET = "correct/horse+battery"
PREFIX = "exports/shop"
MIN_PART = 5 * 1024 * 1024
"""Bytes of a part that is not the last; AWS and SeaweedFS accept no less."""


class S3Rig:
    """SeaweedFS, with one bucket."""

    kind: type[Bucket] = S3
    scale = 6
    part_bytes = MIN_PART

    def __init__(self) -> None:
        self.bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self._read: dict[tuple[str, str], bytes] = {}

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def server(self) -> SeaweedFS:
        return seaweedfs()

    def start(self) -> None:
        self.server.client.create_bucket(Bucket=self.bucket)

    def stop(self) -> None:
        self.clear()
        self.server.client.delete_bucket(Bucket=self.bucket)

    def clear(self) -> None:
        self.unfill()
        for upload in self.uploads():
            self.abort(upload)
        for key in self._etags():
            self.server.client.delete_object(Bucket=self.bucket, Key=key)
        self._read.clear()

    def destination(self, seconds: float) -> Bucket:
        return self.kind(Timeouts(silence=seconds), part_bytes=self.part_bytes, attempts=1)

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {
            "endpoint_url": f"http://{HOST}:{port or self.port}",
            "bucket": self.bucket,
            "prefix": PREFIX,
            "region": "us-east-1",
            "access_key_id": self.server.access_key,
            "secret_access_key": self.server.secret_key,
        }

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "secret_access_key": "wrong+horse"}

    def files(self) -> dict[str, bytes]:
        """The objects below the prefix; each is read again when its ETag changes."""
        seen: dict[str, bytes] = {}
        for key, etag in self._etags().items():
            if (key, etag) not in self._read:
                try:
                    answer = self.server.client.get_object(Bucket=self.bucket, Key=key)
                except ClientError as exc:
                    if exc.response["Error"]["Code"] != "NoSuchKey":
                        raise
                    continue  # removed since the listing
                self._read[key, answer["ETag"]] = answer["Body"].read()
                etag = answer["ETag"]
            seen[key.removeprefix(f"{PREFIX}/")] = self._read[key, etag]
        return seen

    def leftovers(self) -> list[str]:
        return sorted(upload["Key"] for upload in self.uploads())

    def uploads(self) -> list[Any]:
        """Open uploads, each with its `Key` and `UploadId`."""
        return list(self.server.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ()))

    def abort(self, upload: Any) -> None:
        """Abort an upload, as another program would."""
        named = {name: upload[name] for name in ("Key", "UploadId")}
        self.server.client.abort_multipart_upload(Bucket=self.bucket, **named)

    def begin(self, key: str) -> None:
        """Open an upload, as another program would."""
        self.server.client.create_multipart_upload(Bucket=self.bucket, Key=key)

    def write(self, key: str, data: bytes) -> None:
        """Write an object, as another program would."""
        self.server.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def head(self, name: str) -> Any:
        """What the server reports of an object."""
        return self.server.client.head_object(Bucket=self.bucket, Key=f"{PREFIX}/{name}")

    def fill(self) -> None:
        """Use up the bucket's quota."""
        ReadOnlyBuckets(seaweedfs()).set(self.bucket)
        eventually("the bucket is full", lambda: not self._accepts())

    def unfill(self) -> None:
        if not self._accepts():
            ReadOnlyBuckets(seaweedfs()).set()
            eventually("the bucket has space", self._accepts)

    def _accepts(self) -> bool:
        """Whether an object can be written, beside the prefix."""
        try:
            self.write("probe", b"x")
        except ClientError:
            return False
        self.server.client.delete_object(Bucket=self.bucket, Key="probe")
        return True

    def _etags(self) -> dict[str, str]:
        page = self.server.client.list_objects_v2(Bucket=self.bucket, Prefix=f"{PREFIX}/")
        return {found["Key"]: found["ETag"] for found in page.get("Contents", ())}


class RcloneS3Rig(RcloneRig):
    """`rclone serve s3`, whose buckets are folders of this machine. It keeps open uploads to itself, in its memory."""

    scale = 6
    folder = f"{BUCKET}/{PREFIX}"

    def __init__(self) -> None:
        super().__init__(self._server_in)

    def clear(self) -> None:
        super().clear()
        (self.server.root / BUCKET).mkdir()

    def destination(self, seconds: float) -> Bucket:
        return S3(Timeouts(silence=seconds), part_bytes=MIN_PART, attempts=1)

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {
            "endpoint_url": f"http://{HOST}:{port or self.port}",
            "bucket": BUCKET,
            "prefix": PREFIX,
            "region": "us-east-1",
            "access_key_id": USER,
            "secret_access_key": SECRET,
        }

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "secret_access_key": "wrong+horse"}

    def _server_in(self, folder: Path) -> Rclone:
        return Rclone("s3", folder, f"--auth-key={USER},{SECRET}", "--vfs-cache-mode=off")


RIGS: list[Any] = [S3Rig(), RcloneS3Rig()]
