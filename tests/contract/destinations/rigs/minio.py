"""SeaweedFS with the config of the type minio: `endpoint`, `secure`, `access_key` and `secret_key`."""

from typing import Any

from deploy.local.servers import HOST
from services.delivery.destinations.s3.destination import Minio
from tests.contract.destinations.rigs.s3 import PREFIX, S3Rig


class MinioRig(S3Rig):
    """The same protocol, another config."""

    kind = Minio

    def config(self, port: int | None = None) -> dict[str, Any]:
        return {
            "endpoint": f"{HOST}:{port or self.port}",
            "secure": False,
            "bucket": self.bucket,
            "prefix": PREFIX,
            "access_key": self.server.access_key,
            "secret_key": self.server.secret_key,
        }

    def wrong_credentials(self) -> dict[str, Any]:
        return {**self.config(), "secret_key": "wrong+horse"}


RIG = MinioRig()
