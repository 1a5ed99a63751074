"""pydantic's complaints as violations: the field as a dotted path, the sentence, and never the value that was sent."""

from pydantic import ValidationError

from services.chassis.faults import Violation


def violations(error: ValidationError, *, unknown: str, within: str = "") -> list[Violation]:
    """What is wrong with a body.

    Args:
        unknown: what to say of a key that is not known.
        within: the field that holds the body, when it is not the whole.
    """
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        path = [part for part in (within, *(str(part) for part in problem["loc"])) if part]
        what = unknown if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        found.append(Violation(".".join(path) or "body", what))
    return found
