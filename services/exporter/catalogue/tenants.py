"""Which tenant names are valid: the name becomes part of a database name. Pure."""

import re

from services.chassis.faults import BadRequest, Violation

# MongoDB allows 63 bytes in a database name, with `catalogue_` before the tenant; the limit leaves some room.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,37}")


def check_tenant(name: str) -> None:
    """Refuse an invalid tenant name.

    Raises:
        BadRequest: the name has invalid characters or is too long.
    """
    if not NAME.fullmatch(name):
        text = "must have 1 to 38 characters of a-z, 0-9, _ and -, and begin with a letter or digit"
        raise BadRequest([Violation("tenant", text)])
