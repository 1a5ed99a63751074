"""Stores a backup in the bucket of the artifacts, and fetches one: `archive.py store`, `archive.py fetch`.

Runs in the pods of the CronJobs beside mongodump or mongorestore. The archive goes through a named pipe, so no volume
has to be large enough for it. A backup that breaks off is not stored: the parts become an object only after mongodump
has ended well.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pymongo.uri_parser import parse_uri

log = logging.getLogger("archive")

PART_BYTES = 64 * 1024 * 1024
"""10,000 parts at most: enough for 600 GiB."""
SUFFIX = ".archive.gz"


class NotStored(Exception):
    """The dump failed, or the bucket has no such backup."""


class Archives:
    """The backups in the bucket: beside the artifacts, in `<their prefix>-backups/`, named by their times.

    Args:
        url: of the artifact store, `s3://bucket/prefix`.
    """

    def __init__(self, client: Any, url: str) -> None:
        place = urlsplit(url)
        if place.scheme != "s3":
            raise NotStored(f"backups need a bucket, and ARTIFACTS_URL is {url}")
        self._client, self._bucket = client, place.netloc
        self._prefix = f"{place.path.strip('/') or 'files'}-backups/"

    def names(self) -> list[str]:
        """All backups, the oldest first."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key.removeprefix(self._prefix) for key in keys if key.endswith(SUFFIX))

    def store(self, name: str, pipe: Path, status: Path) -> int:
        """Create the pipe, and store what comes through it if the dump then ends well. Returns the number of bytes.

        Raises:
            NotStored: the dump failed; nothing is stored.
        """
        target = {"Bucket": self._bucket, "Key": self._prefix + name}
        upload = self._client.create_multipart_upload(**target)["UploadId"]
        os.mkfifo(pipe)
        try:
            parts, size = [], 0
            for number, chunk in enumerate(_chunks(pipe), start=1):
                sent = self._client.upload_part(**target, UploadId=upload, PartNumber=number, Body=chunk)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                size += len(chunk)
            code = _code(status)
            if code != "0" or not parts:
                raise NotStored(f"mongodump ended with {code} after {size} bytes")
            self._client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._client.abort_multipart_upload(**target, UploadId=upload)
            raise
        return size

    def fetch(self, name: str, pipe: Path) -> str:
        """Create the pipe, and send a backup through it. Returns the backup's name.

        Args:
            name: empty for the newest one.

        Raises:
            NotStored: there is no such backup.
        """
        found = self.names()
        if not found or (name and name not in found):
            raise NotStored(f"there is no backup {name}; there are: {', '.join(found) or 'none'}")
        name = name or found[-1]
        body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
        os.mkfifo(pipe)
        with pipe.open("wb") as output:
            for chunk in body.iter_chunks(1024 * 1024):
                output.write(chunk)
        return name

    def keep(self, count: int) -> list[str]:
        """Remove all but the newest backups. Returns what was removed."""
        removed = self.names()[:-count]
        for name in removed:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)
        return removed


def _chunks(pipe: Path) -> Iterator[bytes]:
    """What comes through the pipe until its writer closes it. Every part but the last has `PART_BYTES`."""
    with pipe.open("rb") as source:
        while chunk := source.read(PART_BYTES):
            yield chunk


def _code(status: Path) -> str:
    """The exit code of the dump, which is written after the pipe was closed."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if status.exists() and (text := status.read_text().strip()):
            return text
        time.sleep(0.1)
    return "no exit code"


def member_config(environment: Mapping[str, str]) -> str:
    """The configuration of mongorestore: it logs in with the members' key, since it has to write users as well."""
    parsed = parse_uri(environment["BACKUP_MONGODB_URI"], validate=True)
    login = f"__system:{quote_plus(''.join(Path(environment['MONGODB_KEY_FILE']).read_text().split()))}"
    hosts = ",".join(f"{host}:{port}" for host, port in parsed["nodelist"])
    options = {"replicaSet": parsed["options"]["replicaSet"], "authSource": "local", "authMechanism": "SCRAM-SHA-256"}
    if parsed["options"].get("tls"):
        options |= {"tls": "true", "tlsCAFile": parsed["options"]["tlsCAFile"]}
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f'uri: "mongodb://{login}@{hosts}/?{query}"\n'


def main(command: str, environment: Mapping[str, str]) -> None:
    """Run one command.

    Raises:
        NotStored: see the commands.
    """
    endpoint = environment.get("AWS_ENDPOINT_URL_S3")
    client = boto3.client(
        "s3",
        region_name=environment.get("AWS_REGION"),
        config=Config(
            s3={"addressing_style": "path"} if endpoint else {},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    archives, folder = Archives(client, environment["ARTIFACTS_URL"]), Path(environment["PIPE_FOLDER"])
    pipe, status = folder / "archive", folder / "status"
    if command == "fetch":
        (folder / "config.yaml").write_text(member_config(environment))
        log.info("restoring %s", archives.fetch(environment.get("BACKUP", ""), pipe))
        return
    name = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}{SUFFIX}"
    log.info("stored %s with %d bytes", name, archives.store(name, pipe, status))
    log.info("removed %s", ", ".join(archives.keep(int(environment["BACKUPS_KEPT"]))) or "nothing")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        main(sys.argv[1], os.environ)
    except (NotStored, BotoCoreError, ClientError, OSError) as exc:
        log.error("%s", exc)  # noqa: TRY400  the reason is enough
        # The other container waits for the pipe.
        (Path(os.environ["PIPE_FOLDER"]) / "failed").touch()
        sys.exit(1)
