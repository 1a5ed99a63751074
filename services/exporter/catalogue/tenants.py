"""What a tenant may be called: the name is part of a database's name. Pure."""

import re

from services.chassis.faults import BadRequest, Violation

# MongoDB takes database names of up to 63 bytes; `catalogue_` takes ten.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,37}")


def check_tenant(name: str) -> None:
    """Refuse what cannot be a tenant.

    Raises:
        BadRequest: the name has other characters, or is too long.
    """
    if not NAME.fullmatch(name):
        text = "must be 1 to 38 of a-z, 0-9, _ and -, beginning with a letter or digit"
        raise BadRequest([Violation("tenant", text)])
