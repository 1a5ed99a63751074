"""The feed templates: every TOML file in this folder is one; no registration is needed."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from services.exporter.templates.template import Template, TemplateColumn, TemplateFormat

__all__ = ["Template", "TemplateColumn", "TemplateFormat", "templates"]


@cache
def templates() -> Mapping[str, Template]:
    """All templates by name."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith(".toml")]
    made = [Template.model_validate(tomllib.loads(file.read_text("utf-8"))) for file in found]
    return {template.name: template for template in sorted(made, key=lambda template: template.name)}
