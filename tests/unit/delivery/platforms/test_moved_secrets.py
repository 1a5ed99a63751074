"""A secret does not follow its platform to another server: whoever changes the server has to supply the secret."""

from typing import Any

import pytest

from services.chassis.faults import BadRequest
from services.delivery.destinations import destinations
from services.delivery.platforms.config import moved, require_secrets

S3: dict[str, Any] = {"bucket": "shop", "access_key_id": "A"}
MINIO: dict[str, Any] = {"bucket": "shop", "endpoint": "s3.shop.example", "access_key": "A"}
SFTP: dict[str, Any] = {"host": "sftp.shop.example", "username": "u"}
FTP: dict[str, Any] = {"host": "ftp.shop.example", "username": "u"}
DRIVE: dict[str, Any] = {"folder_id": "f"}


@pytest.mark.parametrize(
    ("kind", "old", "change", "expected"),
    [
        ("s3", S3, {"endpoint_url": "https://s3.attacker.example"}, {"endpoint_url"}),
        ("s3", S3, {"ca_certificate": "another"}, {"ca_certificate"}),
        ("s3", S3, {"bucket": "other", "region": "eu-central-1", "prefix": "p"}, set()),
        ("minio", MINIO, {"endpoint": "s3.attacker.example"}, {"endpoint"}),
        ("minio", MINIO, {"secure": False}, {"secure"}),
        ("sftp", SFTP, {"host": "sftp.attacker.example", "port": 2222}, {"host", "port"}),
        ("sftp", SFTP, {"host_key": "SHA256:" + "A" * 43}, {"host_key"}),
        ("sftp", SFTP, {"port": 22, "username": "other", "path": "p", "verify": "size"}, set()),
        ("ftp", FTP, {"host": "ftp.attacker.example"}, {"host"}),
        ("ftp", FTP, {"tls": "none"}, {"tls"}),
        ("ftp", FTP, {"verify_certificate": False}, {"verify_certificate"}),
        ("ftp", FTP, {"tls": "explicit", "verify_certificate": True, "path": "p"}, set()),
        ("gdrive", DRIVE, {"folder_id": "other"}, set()),
    ],
)
def test_the_fields_that_decide_where_secrets_go(
    kind: str, old: dict[str, Any], change: dict[str, Any], expected: set[str]
) -> None:
    assert moved(destinations()[kind].Config, old, {**old, **change}) == expected


def test_every_kept_secret_is_named_with_the_fields_that_were_changed() -> None:
    with pytest.raises(BadRequest) as refused:
        require_secrets({"port", "host"}, ["password", "passphrase"])
    assert [one.field for one in refused.value.violations] == ["config.passphrase", "config.password"]
    assert all("(host, port)" in one.message for one in refused.value.violations)
    require_secrets(set(), ["password"])
    require_secrets({"host"}, [])
