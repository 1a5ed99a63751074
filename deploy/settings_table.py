"""Writes the table of every setting into docs/operations.md, from the code; `--check` fails when the page differs.

python -m deploy.settings_table [--check]
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from services.chassis.settings import ProcessSettings, RpcSettings
from services.delivery.settings import DeliverySettings
from services.exporter.settings import ExporterSettings
from services.gateway.settings import GatewaySettings
from services.scheduler.settings import SchedulerSettings

PAGE = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN, END = "<!-- settings: made by `make docs` -->", "<!-- end of settings -->"

# What each part adds to what the parts above it have.
PARTS: tuple[tuple[str, type[ProcessSettings], type[ProcessSettings] | None], ...] = (
    ("Every service", ProcessSettings, None),
    ("Exporter, delivery and scheduler", RpcSettings, ProcessSettings),
    ("Gateway", GatewaySettings, ProcessSettings),
    ("Exporter", ExporterSettings, RpcSettings),
    ("Delivery", DeliverySettings, RpcSettings),
    ("Scheduler", SchedulerSettings, RpcSettings),
)
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "min_length": "characters: at least"}


def table() -> str:
    """All parts, in Markdown."""
    return "\n".join(line for title, settings, base in PARTS for line in _part(title, settings, base))


def _part(title: str, settings: type[ProcessSettings], base: type[ProcessSettings] | None) -> Iterator[str]:
    inherited = base.model_fields if base is not None else {}
    yield f"\n#### {title}\n"
    yield "| variable | default | what |\n|---|---|---|"
    for name, field in settings.model_fields.items():
        if name not in inherited:
            yield f"| `{name.upper()}` | {_default(field)} | {_what(name, field)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default is None or field.default == "":
        return "absent"
    value = field.default
    return (
        f"`{value:g}`"
        if isinstance(value, float)
        else f"`{str(value).lower() if value is True or value is False else value}`"
    )


def _what(name: str, field: FieldInfo) -> str:
    if not field.description:
        raise SystemExit(f"the setting {name} says nothing of what it is")
    words = field.description.rstrip(".")
    notes = [*_choices(field), *_limits(field)]
    if field.annotation is SecretStr:
        notes.append("secret")
    return f"{words} ({', '.join(notes)})." if notes else f"{words}."


def _choices(field: FieldInfo) -> Iterator[str]:
    literals = [field.annotation, *get_args(field.annotation)]
    for literal in literals:
        if get_origin(literal) is Literal:
            yield " \\| ".join(f"`{choice}`" for choice in get_args(literal))


def _limits(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        for name, words in LIMITS.items():
            value = getattr(limit, name, None)
            if value is not None:
                yield f"{words} {value:g}"


def main() -> int:
    """Return 0 when the page is written, or up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page differs")
    checking = parser.parse_args().check
    old = PAGE.read_text()
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n{table()}\n\n{END}{after}"
    if checking and new != old:
        print(f"the settings in {PAGE.name} are not those of the code: run `make docs`")
        return 1
    if not checking:
        PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
