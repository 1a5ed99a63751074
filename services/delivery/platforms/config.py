"""Configs of platforms: checked by their type's model, secrets taken out and masked, changes merged key by key."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from services.chassis.faults import BadRequest, Violation, violations_of
from services.chassis.file_names import template_problem
from services.delivery.destinations.contract import DestinationConfig

MASK = "********"
"""What a secret looks like in an answer; sent back, it means: as it is."""
PLACEHOLDERS = ("format", "date", "time", "schedule", "job")


def parse_object(text: str) -> dict[str, Any]:
    """A config's JSON text.

    Raises:
        BadRequest: it is no JSON object.
    """
    try:
        found = json.loads(text or "{}")
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair can be stored nowhere
    except (ValueError, RecursionError) as exc:
        raise BadRequest([Violation("config", "is not JSON")]) from exc
    if not isinstance(found, dict):
        raise BadRequest([Violation("config", "must be a JSON object")])
    return found


def checked(model: type[DestinationConfig], values: Mapping[str, Any]) -> DestinationConfig:
    """The config these values make.

    Raises:
        BadRequest: naming every field that is wrong, and no value of one.
    """
    try:
        config = model.model_validate(dict(values))
    except ValidationError as exc:
        unknown = "is not an option of this type of platform"
        raise BadRequest(violations_of(exc, unknown=unknown, prefix="config")) from exc
    masked = sorted(name for name, value in _secrets(config).items() if value == MASK)
    if masked:
        raise BadRequest([Violation(f"config.{name}", "is masked; send the secret itself") for name in masked])
    problem = template_problem(config.file_name, PLACEHOLDERS) if config.file_name is not None else None
    if problem is not None:
        raise BadRequest([Violation("config.file_name", problem)])
    return config


def split(config: DestinationConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """What was set of a config: the plain values as JSON has them, and the secrets."""
    secrets = _secrets(config)
    return config.model_dump(mode="json", exclude_unset=True, exclude=set(secrets)), secrets


def masked(plain: Mapping[str, Any], secret_names: Mapping[str, object]) -> dict[str, Any]:
    """The config as answers show it."""
    return {**plain, **dict.fromkeys(secret_names, MASK)}


def merged(plain: Mapping[str, Any], secrets: Mapping[str, str], change: Mapping[str, Any]) -> dict[str, Any]:
    """All values after a change: null removes a key, a masked secret stays."""
    kept = {**plain, **secrets}
    for name, value in change.items():
        if value is None:
            kept.pop(name, None)
        elif value != MASK or name not in secrets:
            kept[name] = value
    return kept


def _secrets(config: DestinationConfig) -> dict[str, str]:
    values = {name: getattr(config, name) for name in type(config).model_fields}
    return {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}
