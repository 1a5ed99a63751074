"""S3 and MinIO: a bucket of AWS, or of any server that speaks its protocol; the configs, and the way in."""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from services.delivery.destinations.contract import DestinationConfig, Notes, Step
from services.delivery.destinations.egress import Egress
from services.delivery.destinations.s3.client import ATTEMPTS, Access, client_for
from services.delivery.destinations.s3.errors import Calls
from services.delivery.destinations.s3.objects import Objects
from services.delivery.destinations.s3.session import S3Session
from services.delivery.destinations.s3.upload import PART_BYTES

SILENCE_SECONDS = 30.0
_REGION = "us-east-1"
_PORTS = {"http": 80, "https": 443}


def _url(text: str) -> str:
    """`http://host:port` or `https://host:port`, without a slash at its end."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError("is no URL; write https://host or https://host:port") from exc
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; give the keys by themselves")
    if parts.scheme not in _PORTS or not host or re.search(r"[\s\\]", text):
        raise ValueError("is no URL of a server; write https://host or https://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end after host and port; give `bucket` and `prefix` by themselves")
    return text.rstrip("/")


def _one_word(secret: SecretStr) -> SecretStr:
    if re.search(r"\s", secret.get_secret_value()):
        raise ValueError("has a space or a line break in it; enter it anew")
    return secret


Url = Annotated[str, Field(max_length=500), AfterValidator(_url)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=4_000), AfterValidator(_one_word)]
KeyId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]
Region = Annotated[str, Field(max_length=50, pattern=r"^[a-z0-9-]+$")]


class BucketConfig(DestinationConfig):
    """What S3 and MinIO have in common."""

    bucket: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$", description="It must be there.")
    prefix: str = Field(default="", max_length=500, description="Folder in the bucket, such as exports/shop.")
    ca_certificate: str | None = Field(
        default=None, max_length=100_000, description="PEM of a private certificate authority that signed the server's."
    )

    @field_validator("prefix")
    @classmethod
    def _plain_folders(cls, prefix: str) -> str:
        parts = prefix.strip("/").split("/")
        if prefix.strip("/") and any(part in ("", ".", "..") for part in parts):
            raise ValueError("must be names with one / between them, none of them . or ..")
        if not prefix.isprintable():
            raise ValueError("has a control character in it")
        return prefix

    @field_validator("ca_certificate")
    @classmethod
    def _certificate(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                ssl.create_default_context(cadata=text)
            except (ssl.SSLError, ValueError) as exc:
                raise ValueError("is no certificate in PEM") from exc
        return text

    @property
    def folder(self) -> str:
        """Empty, or with a slash at its end."""
        plain = self.prefix.strip("/")
        return f"{plain}/" if plain else ""

    def access(self) -> Access:
        """How to reach the bucket."""
        raise NotImplementedError

    def extra(self) -> dict[str, str]:
        """What objects are written with, as botocore's parameters."""
        return {}


class S3Config(BucketConfig):
    """A bucket of AWS, or with `endpoint_url` of another provider."""

    region: Region | None = Field(default=None, description="Such as eu-central-1; absent: it is found out.")
    access_key_id: KeyId
    secret_access_key: Secret
    session_token: Secret | None = Field(default=None, description="Of temporary keys only; they expire.")
    endpoint_url: Url | None = Field(default=None, description="Of another provider than AWS: https://host.")
    storage_class: str | None = Field(default=None, pattern=r"^[A-Z_]{1,40}$", description="Such as STANDARD_IA.")
    server_side_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        default=None, description="absent: as the bucket does by itself."
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

    endpoint: str | None = Field(default=None, max_length=300, description="host:port; or give `endpoint_url`.")
    endpoint_url: Url | None = Field(default=None, description="https://host:port; or give `endpoint`.")
    secure: bool | None = Field(default=None, description="Whether `endpoint` speaks https; absent: it does.")
    region: Region | None = Field(default=None, description="Only where the server was given one.")
    access_key: KeyId
    secret_key: Secret

    @field_validator("endpoint")
    @classmethod
    def _host_and_port(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            if "://" in endpoint:
                raise ValueError("is host:port; a URL is given as `endpoint_url`")
            _url(f"https://{endpoint}")
        return endpoint

    @model_validator(mode="after")
    def _one_endpoint(self) -> "MinioConfig":
        if (self.endpoint is None) == (self.endpoint_url is None):
            raise ValueError("exactly one of endpoint and endpoint_url is needed")
        if self.endpoint_url and self.secure is not None and self.secure != self.endpoint_url.startswith("https:"):
            raise ValueError("secure says the opposite of endpoint_url; leave it out")
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
        silence_seconds: how long a server may say nothing, or take no byte.
        part_bytes: what is sent at once, at most, unless a file has more than 10,000 parts then.
        attempts: at each request.
    """

    name: ClassVar[str]
    Config: ClassVar[type[DestinationConfig]]

    def __init__(
        self, silence_seconds: float = SILENCE_SECONDS, part_bytes: int = PART_BYTES, attempts: int = ATTEMPTS
    ) -> None:
        self._silence = silence_seconds
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
        """Show the keys to the bucket; nothing is to be pinned, since TLS knows the server, and http nobody."""
        access = config.access()
        async with client_for(access, egress, self._silence, self._attempts) as client:
            calls = Calls(self._silence, access.session_token)
            objects = Objects(client, access.bucket, config.folder, calls, config.extra())
            await objects.admitted(Step.AUTHENTICATE)
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
