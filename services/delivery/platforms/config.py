"""Configs of platforms: validated by their type's model, secrets separated and masked, changes merged key by key."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from services.chassis.faults import BadRequest, Violation, violations_of
from services.delivery.destinations.contract import DestinationConfig, InvalidField
from services.file_names import template_problem

MASK = "********"
"""Shown instead of a secret. A client that sends it back leaves the secret unchanged."""


def parse_object(text: str) -> dict[str, Any]:
    """Parse a config's JSON text.

    Raises:
        BadRequest: the text is not a JSON object.
    """
    try:
        found = json.loads(text or "{}")
        json.dumps(found, ensure_ascii=False).encode()  # an unpaired surrogate cannot be stored
    except (ValueError, RecursionError) as exc:
        raise BadRequest([Violation("config", "is not valid JSON")]) from exc
    if not isinstance(found, dict):
        raise BadRequest([Violation("config", "must be a JSON object")])
    return found


def checked(model: type[DestinationConfig], values: Mapping[str, Any]) -> DestinationConfig:
    """Validate a config.

    Raises:
        BadRequest: names every invalid field, without its value.
    """
    try:
        config = model.model_validate(dict(values))
    except ValidationError as exc:
        unknown = "is not an option of this type of platform"
        raise BadRequest(violations_of(exc, unknown=unknown, prefix="config")) from exc
    masked = sorted(name for name, value in _secrets(config).items() if value == MASK)
    if masked:
        raise BadRequest([Violation(f"config.{name}", "is masked; send the secret itself") for name in masked])
    problem = template_problem(config.file_name) if config.file_name is not None else None
    if problem is not None:
        raise BadRequest([Violation("config.file_name", problem)])
    return config


def prepared(model: type[DestinationConfig], values: Mapping[str, Any]) -> DestinationConfig:
    """A valid config as it is stored. Reading a private key takes seconds of CPU time; call it in a thread.

    Raises:
        BadRequest: names every invalid field, without its value.
    """
    try:
        return checked(model, values).prepared()
    except InvalidField as exc:
        raise BadRequest([Violation(f"config.{exc.field}", exc.message)]) from exc


def split(config: DestinationConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields that were set: plain values as JSON, and secrets."""
    secrets = _secrets(config)
    return config.model_dump(mode="json", exclude_unset=True, exclude=set(secrets)), secrets


def masked(plain: Mapping[str, Any], secret_names: Mapping[str, object]) -> dict[str, Any]:
    """The config with its secrets masked, for responses."""
    return {**plain, **dict.fromkeys(secret_names, MASK)}


def merged(plain: Mapping[str, Any], secrets: Mapping[str, str], change: Mapping[str, Any]) -> dict[str, Any]:
    """All values after a change: null removes a key, a masked secret does not change."""
    kept = {**plain, **secrets}
    for name, value in change.items():
        if value is None:
            kept.pop(name, None)
        elif value != MASK or name not in secrets:
            kept[name] = value
    return kept


def moved(model: type[DestinationConfig], old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """The fields that decide where secrets are sent and that differ; a field that is not set has its default."""
    defaults = {name: model.model_fields[name].default for name in model.secrets_go_to}
    return {name for name, default in defaults.items() if old.get(name, default) != new.get(name, default)}


def require_secrets(moved: Iterable[str], kept: Iterable[str]) -> None:
    """Refuse to send stored secrets to another place: whoever chooses the place must know them.

    Args:
        moved: the changed fields that decide where secrets are sent.
        kept: the secrets that the request does not contain.

    Raises:
        BadRequest: names each of the secrets.
    """
    changed = ", ".join(sorted(moved))
    if changed:
        message = f"must be sent again, because the request changes where it is sent ({changed})"
        if violations := [Violation(f"config.{name}", message) for name in sorted(kept)]:
            raise BadRequest(violations)


def _secrets(config: DestinationConfig) -> dict[str, str]:
    values = {name: getattr(config, name) for name in type(config).model_fields}
    return {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}
