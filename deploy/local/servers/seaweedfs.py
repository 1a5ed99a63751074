"""SeaweedFS, a real S3 server in one process, from its PyPI wheel or from PATH."""

import contextlib
import json
import secrets
import urllib.request
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from deploy.local.servers.ports import HOST, free_port
from deploy.local.servers.server import Server, beside_python, on_path

REGION = "us-east-1"
ANSWER_SECONDS = 2.0
VOLUME_MB = 1024
MAX_VOLUMES = 5_000
"""Of all buckets together; each has its own. A volume takes up no more space than its objects."""


class SeaweedFS(Server):
    """SeaweedFS on 127.0.0.1, with data and log in `folder`; port 0 chooses a free one. Ready after three seconds.

    Args:
        keys: access key and secret key of the one account, which may do everything; by default generated.
    """

    def __init__(
        self, folder: Path, port: int = 0, log: Path | None = None, *, keys: tuple[str, str] | None = None
    ) -> None:
        super().__init__("seaweedfs", folder, port, log)
        self.access_key, self.secret_key = keys or (secrets.token_hex(10), secrets.token_urlsafe(30))
        self.ports = {part: free_port() for part in ("master", "volume", "filer")}
        self.grpc_ports = {part: free_port() for part in (*self.ports, "s3")}

    @property
    def url(self) -> str:
        """The endpoint of the S3 API."""
        return f"http://{HOST}:{self.port}"

    @cached_property
    def client(self) -> Any:
        """botocore's S3 client with the server's account; it may be shared by threads."""
        return Session().create_client(
            "s3",
            REGION,
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def content(self, bucket: str, key: str) -> bytes | None:
        """An object's bytes, or None if there is no such object."""
        try:
            return bytes(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as exc:
            if exc.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def launch(self) -> None:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        accounts = self.folder / "accounts.json"
        accounts.touch(0o600)
        accounts.write_text(json.dumps(self._accounts()))
        command: list[str | Path] = [
            beside_python("weed") or on_path("weed"),
            "server",
            "-filer",
            "-s3",
            f"-dir={data}",
        ]
        command += [f"-ip={HOST}", f"-ip.bind={HOST}", f"-s3.port={self.port}", f"-s3.config={accounts}"]
        command += [f"-{part}.port={port}" for part, port in self.ports.items()]
        command += [f"-{part}.port.grpc={port}" for part, port in self.grpc_ports.items()]
        command += ["-s3.iam=false", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        # Without peers=none, the master waits 1.5 s for others.
        command += ["-master.peers=none", "-master.telemetry=false", f"-master.volumeSizeLimitMB={VOLUME_MB}"]
        command += [f"-volume.max={MAX_VOLUMES}", "-volume.minFreeSpace=100MiB"]
        # HOME: settings in ~/.seaweedfs are not for this server. COPY_1: a new bucket has one volume and not seven.
        self._listen(command, {"HOME": str(self.folder), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"})

    def is_ready(self) -> bool:
        """Whether S3 answers and there is a place for objects."""
        with contextlib.suppress(OSError, ValueError):
            with _get(f"http://{HOST}:{self.ports['master']}/dir/status") as answer:
                has_volumes = json.load(answer)["Topology"]["Max"] > 0
            with _get(f"{self.url}/status") as answer:
                return has_volumes and answer.status == HTTPStatus.OK
        return False

    def stop(self, timeout: float = 0.0) -> None:  # noqa: ARG002  it is not used
        """Kill it: after SIGTERM it may go on for minutes. What it answered for is in its files."""
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL, wait for the end, and remove its sockets from /tmp."""
        super().kill()
        names = [f"{part}-grpc-{port}" for part, port in self.grpc_ports.items()]
        for name in (*names, f"filer-{self.ports['filer']}", f"s3-{self.port}"):
            Path(f"/tmp/seaweedfs-{name}.sock").unlink(missing_ok=True)  # noqa: S108  the place is its choice

    def _accounts(self) -> dict[str, Any]:
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        return {"identities": [{"name": "owner", "credentials": [keys], "actions": ["Admin"]}]}


def _get(url: str) -> HTTPResponse:
    answer: HTTPResponse = urllib.request.urlopen(url, timeout=ANSWER_SECONDS)  # noqa: S310  http
    return answer
