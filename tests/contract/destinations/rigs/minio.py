"""The S3 server with the config of the type minio: `endpoint`, `secure`, `access_key` and `secret_key`."""

from typing import Any

from services.delivery.destinations.s3.destination import Minio
from tests.contract.destinations.rigs.s3 import ACCESS_KEY, PREFIX, SECRET_KEY, S3Rig


class MinioRig(S3Rig):
    """The same protocol, another config."""

    kind = Minio

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {
            "endpoint": f"127.0.0.1:{port or self.port}",
            "secure": False,
            "bucket": self.bucket,
            "prefix": PREFIX,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "secret_key": "wrong+horse"}


RIG = MinioRig()
