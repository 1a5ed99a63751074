"""Time zones of the tzdata package, not of the machine, so that all replicas compute the same times."""

import difflib
import importlib
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo


@cache
def names() -> frozenset[str]:
    """All IANA names, including links and historical ones."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of that name; the same object each time.

    Raises:
        KeyError: it does not exist. Names are case-sensitive.
    """
    if name not in names():
        raise KeyError(name)
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def near(name: str) -> list[str]:
    """At most three names that `name` may stand for, the likeliest first."""
    # People know the city: `europe/pari` and `Paris` both mean Europe/Paris.
    spellings: dict[str, str] = {}
    for known in sorted(name for name in names() if not name.startswith("Etc/")):  # Etc/GMT+1 is an hour behind
        spellings[known.lower()] = known
        spellings.setdefault(known.rpartition("/")[2].lower(), known)
    written = name[:60].strip().lower().replace(" ", "_")
    close = [written] if written in spellings else difflib.get_close_matches(written, spellings, n=3, cutoff=0.75)
    return list(dict.fromkeys(spellings[spelling] for spelling in close))


@cache
def version() -> str:
    """The version of the time-zone rules, such as 2026a."""
    return str(importlib.import_module("tzdata").IANA_VERSION)
