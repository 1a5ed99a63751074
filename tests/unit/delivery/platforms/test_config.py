"""Configs of platforms: validated, split into plain values and secrets, masked, and merged key by key."""

from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from services.chassis.faults import BadRequest
from services.delivery.destinations.contract import DestinationConfig
from services.delivery.platforms.config import MASK, checked, masked, merged, parse_object, split

CANARY = "canary-2718281828"


class Config(DestinationConfig):
    host: str
    port: int = 22
    password: SecretStr | None = Field(default=None, min_length=8)
    token: SecretStr | None = None


def refusal(values: dict[str, Any]) -> dict[str, str]:
    """Messages by field."""
    with pytest.raises(BadRequest) as refused:
        checked(Config, values)
    return {v.field: v.message for v in refused.value.violations}


def test_a_config_is_split_into_plain_values_and_secrets() -> None:
    plain, secrets = split(checked(Config, {"host": "h", "password": CANARY}))
    assert plain == {"host": "h"}
    assert secrets == {"password": CANARY}
    assert masked(plain, secrets) == {"host": "h", "password": MASK}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "config.host"),
        ({"host": "h", "hots": "h"}, "config.hots"),
        ({"host": "h", "port": "x"}, "config.port"),
        ({"host": "h", "password": "short"}, "config.password"),
        ({"host": "h", "password": MASK}, "config.password"),
        ({"host": "h", "token": MASK}, "config.token"),
        ({"host": "h", "on_conflict": "ask"}, "config.on_conflict"),
        ({"host": "h", "file_name": "{week}"}, "config.file_name"),
        ({"host": "h", "file_name": "../x"}, "config.file_name"),
        ({"host": "h", "file_name": ""}, "config.file_name"),
    ],
)
def test_an_invalid_value_is_reported_with_its_field(values: dict[str, Any], field: str) -> None:
    assert list(refusal(values)) == [field]


def test_every_invalid_field_is_reported() -> None:
    assert set(refusal({"port": "x", "hots": 1})) == {"config.host", "config.port", "config.hots"}


def test_no_error_contains_the_value_of_a_secret() -> None:
    for values in ({"password": [CANARY]}, {"host": "h", "password": CANARY, "x": CANARY}, {"token": {"a": CANARY}}):
        with pytest.raises(BadRequest) as refused:
            checked(Config, values)
        assert CANARY not in repr(refused.value.violations) + str(refused.value)
        assert isinstance(refused.value.__cause__, ValidationError)
        assert CANARY not in str(refused.value.__cause__)


def test_a_change_is_merged_key_by_key() -> None:
    plain, secrets = {"host": "h", "port": 1}, {"password": CANARY, "token": "t"}
    change = {"host": "new", "port": None, "password": MASK, "token": None}
    assert merged(plain, secrets, change) == {"host": "new", "password": CANARY}
    assert merged(plain, secrets, {}) == {**plain, **secrets}
    assert merged(plain, secrets, {"password": "other secret"})["password"] == "other secret"


def test_a_mask_is_refused_where_no_secret_was() -> None:
    assert set(refusal(merged({"host": "h"}, {}, {"token": MASK}))) == {"config.token"}


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', '{"a": "\\ud800"}', "{" * 2 + "}", "[" * 100_000])
def test_a_config_that_is_not_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_object(text)


def test_an_empty_text_is_an_empty_config() -> None:
    assert parse_object("") == {}
