"""Requests that are larger than anyone needs are refused before they are stored."""

import json
import uuid

import pytest

from services.chassis.faults import BadRequest
from services.delivery.destinations import destinations
from services.delivery.platforms.config import checked
from services.exporter.formats import formats
from services.exporter.requests.request import check_request

SECRETS = {
    "ftp": ({"host": "ftp.example.com", "username": "u"}, "password"),
    "sftp": ({"host": "sftp.example.com", "username": "u"}, "password"),
    "s3": ({"bucket": "files", "region": "eu-central-1", "access_key_id": "AKIA"}, "secret_access_key"),
    "minio": ({"bucket": "files", "endpoint": "minio.example.com", "access_key": "key"}, "secret_key"),
}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"filters": {"sku": "x" * 256 * 1024}}, "options_json"),
        ({"platform_ids": [str(uuid.uuid4()) for _ in range(101)]}, "platform_ids"),
    ],
)
def test_long_options_are_refused(options: dict[str, object], field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_request(formats(), "csv", json.dumps(options))
    assert [violation.field for violation in refused.value.violations] == [field]


def test_options_within_the_limits_are_accepted() -> None:
    options = {"filters": {"sku": "x" * 250 * 1024}, "platform_ids": [str(uuid.uuid4()) for _ in range(100)]}
    assert check_request(formats(), "csv", json.dumps(options)).options.platform_ids is not None


@pytest.mark.parametrize("kind", SECRETS)
def test_a_long_secret_is_refused(kind: str) -> None:
    config, secret = SECRETS[kind]
    with pytest.raises(BadRequest) as refused:
        checked(destinations()[kind].Config, {**config, secret: "x" * 4_097})
    assert [violation.field for violation in refused.value.violations] == [f"config.{secret}"]
