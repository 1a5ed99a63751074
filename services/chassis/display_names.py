"""The names that people give to platforms, schedules, profiles and the like. Pure."""

from services.chassis.faults import BadRequest, Violation

MAX_NAME = 200


def checked_name(name: str, field: str = "name") -> str:
    """The name without surrounding whitespace.

    Args:
        field: the field of the request that has it.

    Raises:
        BadRequest: it is empty, too long, or has control characters.
    """
    stripped = name.strip()
    if not stripped or len(stripped) > MAX_NAME or not stripped.isprintable():
        raise BadRequest([Violation(field, f"must be 1 to {MAX_NAME} printable characters")])
    return stripped
