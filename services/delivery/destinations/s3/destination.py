"""The destinations `s3` and `minio`: a bucket of AWS, or of any server that speaks its protocol."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from services.delivery.destinations.contract import DestinationConfig, Notes, Step
from services.delivery.destinations.egress import Egress
from services.delivery.destinations.kit.ca_certificate import CaCertificate
from services.delivery.destinations.kit.timeouts import Timeouts
from services.delivery.destinations.s3.client import ATTEMPTS, Access, client_for
from services.delivery.destinations.s3.objects import Objects
from services.delivery.destinations.s3.session import S3Session
from services.delivery.destinations.s3.upload import PART_BYTES

_REGION = "us-east-1"
_PORTS = {"http": 80, "https": 443}


def _url(text: str) -> str:
    """`http://host:port` or `https://host:port`, without a trailing slash."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError("is not a URL; write https://host or https://host:port") from exc
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain credentials; use the fields for the keys")
    if parts.scheme not in _PORTS or not host or re.search(r"[\s\\]", text):
        raise ValueError("is not the URL of a server; write https://host or https://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end after host and port; use the fields `bucket` and `prefix`")
    return text.rstrip("/")


def _one_word(secret: SecretStr) -> SecretStr:
    if re.search(r"\s", secret.get_secret_value()):
        raise ValueError("contains a space or a line break; enter it again")
    return secret


Url = Annotated[str, Field(max_length=500), AfterValidator(_url)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=4_000), AfterValidator(_one_word)]
KeyId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]
Region = Annotated[str, Field(max_length=50, pattern=r"^[a-z0-9-]+$")]


class BucketConfig(DestinationConfig):
    """The fields of both types."""

    bucket: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$", description="It must exist.")
    prefix: str = Field(default="", max_length=500, description="Folder in the bucket, such as exports/shop.")
    ca_certificate: CaCertificate | None = Field(
        default=None, description="PEM of the private certificate authority that issued the server's certificate."
    )

    @field_validator("prefix")
    @classmethod
    def _plain_folders(cls, prefix: str) -> str:
        parts = prefix.strip("/").split("/")
        if prefix.strip("/") and any(part in ("", ".", "..") for part in parts):
            raise ValueError("must be names separated by single slashes, none of them . or ..")
        if not prefix.isprintable():
            raise ValueError("contains a control character")
        return prefix

    @property
    def folder(self) -> str:
        """Empty, or with a trailing slash."""
        plain = self.prefix.strip("/")
        return f"{plain}/" if plain else ""

    def access(self) -> Access:
        """How to reach the bucket."""
        raise NotImplementedError

    def extra(self) -> dict[str, str]:
        """Settings for written objects, as botocore's parameters."""
        return {}


class S3Config(BucketConfig):
    """A bucket of AWS, or with `endpoint_url` of another provider."""

    # Without an endpoint it is a server of AWS, whatever the region.
    secrets_go_to: ClassVar[frozenset[str]] = frozenset({"endpoint_url", "ca_certificate"})

    region: Region | None = Field(default=None, description="Such as eu-central-1; default: detected.")
    access_key_id: KeyId
    secret_access_key: Secret
    session_token: Secret | None = Field(default=None, description="Only for temporary keys, which expire.")
    endpoint_url: Url | None = Field(default=None, description="Of a provider other than AWS: https://host.")
    storage_class: str | None = Field(default=None, pattern=r"^[A-Z_]{1,40}$", description="Such as STANDARD_IA.")
    server_side_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        default=None, description="Default: that of the bucket."
    )

    def access(self) -> Access:
        """How to reach the bucket."""
        token = self.session_token.get_secret_value() if self.session_token else None
        return Access(
            bucket=self.bucket,
            access_key=self.access_key_id,
            secret_key=self.secret_access_key.get_secret_value(),
            session_token=token,
            region=self.region or _REGION,
            endpoint_url=self.endpoint_url,
            ca_certificate=self.ca_certificate,
        )

    def extra(self) -> dict[str, str]:
        """Storage class and encryption."""
        wanted = {"StorageClass": self.storage_class, "ServerSideEncryption": self.server_side_encryption}
        return {name: value for name, value in wanted.items() if value}


class MinioConfig(BucketConfig):
    """A bucket of a MinIO server."""

    secrets_go_to: ClassVar[frozenset[str]] = frozenset({"endpoint", "endpoint_url", "secure", "ca_certificate"})

    endpoint: str | None = Field(default=None, max_length=300, description="host:port, or give `endpoint_url`.")
    endpoint_url: Url | None = Field(default=None, description="https://host:port, or give `endpoint`.")
    secure: bool | None = Field(default=None, description="Whether `endpoint` speaks https; default: true.")
    region: Region | None = Field(default=None, description="Only if the server is configured with one.")
    access_key: KeyId
    secret_key: Secret

    @field_validator("endpoint")
    @classmethod
    def _host_and_port(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            if "://" in endpoint:
                raise ValueError("must be host:port; give a URL as `endpoint_url`")
            _url(f"https://{endpoint}")
        return endpoint

    @model_validator(mode="after")
    def _one_endpoint(self) -> "MinioConfig":
        if (self.endpoint is None) == (self.endpoint_url is None):
            raise ValueError("exactly one of endpoint and endpoint_url is required")
        if self.endpoint_url and self.secure is not None and self.secure != self.endpoint_url.startswith("https:"):
            raise ValueError("secure contradicts endpoint_url; remove it")
        return self

    def access(self) -> Access:
        """How to reach the bucket."""
        scheme = "http" if self.secure is False else "https"
        return Access(
            bucket=self.bucket,
            access_key=self.access_key,
            secret_key=self.secret_key.get_secret_value(),
            session_token=None,
            region=self.region or _REGION,
            endpoint_url=self.endpoint_url or _url(f"{scheme}://{self.endpoint}"),
            ca_certificate=self.ca_certificate,
        )


class Bucket:
    """The types `s3` and `minio`.

    Args:
        timeouts: `silence` is the limit for an answer, or for the server to take a byte.
        part_bytes: size of a part, unless the file would have more than 10,000 of them.
        attempts: for each request.
    """

    name: ClassVar[str]
    Config: ClassVar[type[DestinationConfig]]

    def __init__(
        self, timeouts: Timeouts | None = None, part_bytes: int = PART_BYTES, attempts: int = ATTEMPTS
    ) -> None:
        self._silence = (timeouts or Timeouts()).silence
        self._part_bytes = part_bytes
        self._attempts = attempts

    def address(self, config: BucketConfig) -> tuple[str, int]:
        """Host and port of the endpoint, or of AWS in the region."""
        access = config.access()
        ending = ".cn" if access.region.startswith("cn-") else ""
        parts = urlsplit(access.endpoint_url or f"https://s3.{access.region}.amazonaws.com{ending}")
        return parts.hostname or "", parts.port or _PORTS[parts.scheme]

    @asynccontextmanager
    async def open(self, config: BucketConfig, egress: Egress, pins: Notes) -> AsyncIterator[S3Session]:  # noqa: ARG002
        """Try the keys on the bucket. Nothing is pinned: TLS verifies the server, and http cannot."""
        access = config.access()
        if access.endpoint_url and access.endpoint_url.startswith("http:"):
            egress = egress.unencrypted()
        async with client_for(access, egress, self._silence, self._attempts) as client:
            objects = Objects(client, access, config.folder, config.extra(), self._silence)
            await objects.check_access(Step.AUTHENTICATE)
            yield S3Session(objects, self._part_bytes)


class S3(Bucket):
    """The type `s3`."""

    name: ClassVar[str] = "s3"
    Config: ClassVar[type[DestinationConfig]] = S3Config


class Minio(Bucket):
    """The type `minio`."""

    name: ClassVar[str] = "minio"
    Config: ClassVar[type[DestinationConfig]] = MinioConfig


DESTINATIONS = (S3(), Minio())
