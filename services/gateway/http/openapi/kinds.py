"""Formats and types of platforms in schemas: enumerations of their names, and one schema for each where they differ."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from services.gateway.answers.described import FORMATS, INSTEAD, NAME_OF, PLATFORM_TYPES, SETTINGS_OF
from services.gateway.http.openapi.schemas import REF, Schema, Schemas, reference, subschemas
from services.gateway.http.route import BYTES_TYPE

_DEFINITIONS = "#/$defs/"


@dataclass(frozen=True, slots=True)
class Kind:
    """A format, or a type of platforms.

    Args:
        settings: the JSON Schema of its options or config, with `$defs`.
        media_types: of a format's files.
    """

    name: str
    settings: Schema
    media_types: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Its name in names of schemas and operations."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class Kinds:
    """All formats, and all types of platforms."""

    formats: Sequence[Kind]
    platform_types: Sequence[Kind]

    def of(self, sort: str) -> Sequence[Kind]:
        """The formats or the types of platforms."""
        return {FORMATS: self.formats, PLATFORM_TYPES: self.platform_types}[sort]


def names(kinds: Kinds) -> Schemas:
    """The enumerations of their names."""
    made = {}
    for sort, description in ((FORMATS, "Name of a format."), (PLATFORM_TYPES, "Type of a platform.")):
        found = [kind.name for kind in kinds.of(sort)]
        made[sort] = {"type": "string", "description": description, **({"enum": found} if found else {})}
    return made


def settings(kinds: Kinds) -> Schemas:
    """The schemas of all options and configs, as requests and responses have them."""
    made: Schemas = {}
    for kind in kinds.formats:
        options = _hoisted(kind, made)
        made[f"{kind.title}Options"] = options
        made[f"{kind.title}OptionsChange"] = _change(options)
        made[f"{kind.title}ScheduleOptions"] = _without(options, "platform_ids")
    for kind in kinds.platform_types:
        config = _hoisted(kind, made)
        made[f"{kind.title}Config"] = config
        made[f"{kind.title}ConfigChange"] = _change(config)
        made[f"Stored{kind.title}Config"] = _stored(config)
    return made


def split(schemas: Schemas, kinds: Kinds) -> Schemas:
    """The schemas, with those of objects that depend on a format or type replaced by one for each."""
    made: Schemas = {}
    for name, schema in schemas.items():
        dependent = _marked(schema, SETTINGS_OF)
        if dependent and kinds.of(schema["properties"][dependent][SETTINGS_OF][0]):
            made |= _split(name, schema, dependent, kinds)
        else:
            made[name] = schema
    for schema in made.values():
        resolve_names(schema)
    return made


def resolve_names(schema: Schema) -> None:
    """Replace the marks of fields that hold a name."""
    for inner in subschemas(schema):
        if sort := inner.pop(NAME_OF, None):
            for limit in ("type", "minLength", "maxLength"):
                inner.pop(limit, None)
            inner["$ref"] = REF.format(model=sort)
        if inner.pop(SETTINGS_OF, None):
            inner["additionalProperties"] = True
        inner.pop(INSTEAD, None)


def _marked(schema: Schema, mark: str) -> str:
    """The property with a mark; empty if there is none."""
    return next((name for name, inner in schema.get("properties", {}).items() if mark in inner), "")


def _split(name: str, schema: Schema, dependent: str, kinds: Kinds) -> Schemas:
    found = schema["properties"]
    sort, template = found[dependent][SETTINGS_OF]
    choice = _marked(schema, NAME_OF)
    if choice and (choice in schema.get("required", ()) or "default" in found[choice]):
        return _variants(name, schema, choice, dependent, kinds.of(sort))
    # A change, which need not name the format or type.
    found[dependent] = _settled(found[dependent], [template.format(kind.title) for kind in kinds.of(sort)])
    return {name: schema}


def _variants(name: str, schema: Schema, choice: str, dependent: str, kinds: Sequence[Kind]) -> Schemas:
    default = schema["properties"][choice].get("default")
    template = schema["properties"][dependent][SETTINGS_OF][1]
    mapping = {kind.name: _title(name, kind.title) for kind in kinds}
    union: Schema = {"description": schema.get("description", "")}
    options = [reference(title) for title in mapping.values()]
    made = {name: union}
    instead = _marked(schema, INSTEAD)
    if instead:
        schema = deepcopy(schema)
        title = _title(name, instead.removesuffix("_id").capitalize())
        made[title] = _with_instead(schema, instead, {choice, dependent})
        del schema["properties"][instead]
        options.append(reference(title))
    if default is None and instead:  # one of them has nothing to discriminate by
        union |= {"oneOf": options}
    elif default is None:
        refs = {key: REF.format(model=title) for key, title in mapping.items()}
        union |= {"oneOf": options, "discriminator": {"propertyName": choice, "mapping": refs}}
    else:  # they exclude each other, too, but linters do not see it where the field may be absent
        union |= {"anyOf": options}
    for kind in kinds:
        made[mapping[kind.name]] = variant = deepcopy(schema)
        found = variant["properties"]
        found[choice] = {"type": "string", "const": kind.name}
        found[dependent] = _settled(found[dependent], [template.format(kind.title)])
        if kind.name == default:
            found[choice]["default"] = default
        elif choice not in variant.setdefault("required", []):
            variant["required"].append(choice)
    return made


def _settled(marked: Schema, models: Sequence[str]) -> Schema:
    kept = {key: value for key, value in marked.items() if key not in ("type", "additionalProperties", SETTINGS_OF)}
    return {**kept, **(reference(models[0]) if len(models) == 1 else {"anyOf": [reference(one) for one in models]})}


def _with_instead(schema: Schema, instead: str, replaced: set[str]) -> Schema:
    """The schema of objects that have a field in place of others."""
    made = deepcopy(schema)
    made["properties"] = {name: inner for name, inner in made["properties"].items() if name not in replaced}
    made["required"] = [*(name for name in made.get("required", ()) if name not in replaced), instead]
    return made


def _title(name: str, title: str) -> str:
    """`NewPlatform` becomes `NewS3Platform`, `Schedule` becomes `CsvSchedule`."""
    return f"New{title}{name.removeprefix('New')}" if name.startswith("New") else f"{title}{name}"


def _hoisted(kind: Kind, made: Schemas) -> Schema:
    """A kind's schema; its definitions become schemas of their own, shared by the kinds that have the same."""
    for prefix in ("", kind.title):
        schema = deepcopy(kind.settings)
        definitions = {f"{prefix}{name}": inner for name, inner in schema.pop("$defs", {}).items()}
        for part in (schema, *definitions.values()):
            _refer(part, prefix)
        if all(made.get(name, inner) == inner for name, inner in definitions.items()):
            break
    made |= definitions
    return schema


def _refer(schema: Schema, prefix: str) -> None:
    """Let references to a kind's definitions refer to schemas of the document."""
    for inner in subschemas(schema):
        if inner.get("$ref", "").startswith(_DEFINITIONS):
            inner["$ref"] = REF.format(model=prefix + inner["$ref"].removeprefix(_DEFINITIONS))


def _without(schema: Schema, name: str) -> Schema:
    made = deepcopy(schema)
    made["properties"].pop(name, None)
    return made


def _change(config: Schema) -> Schema:
    """A config or options of which every member may be absent, or null to remove it."""
    made = deepcopy(config)
    made.pop("required", None)
    made["properties"] = {name: _or_null(inner) for name, inner in made["properties"].items()}
    return made


def _or_null(schema: Schema) -> Schema:
    kept: Schema = {key: schema[key] for key in ("description", "writeOnly") if key in schema}
    value = {key: inner for key, inner in schema.items() if key not in {*kept, "title", "default"}}
    options = value["anyOf"] if set(value) == {"anyOf"} else [value]
    null = [] if any(option == {"type": "null"} for option in options) else [{"type": "null"}]
    return {**kept, "anyOf": [*options, *null]}


def _stored(config: Schema) -> Schema:
    """A config as responses show it: with masked secrets, and possibly with members that are not known yet."""
    made = deepcopy(config)
    made.pop("additionalProperties", None)
    for name, inner in made["properties"].items():
        if any(part.get("writeOnly") for part in subschemas(inner)):
            made["properties"][name] = {"type": "string", "description": "Secret; shown as `********`."}
        elif inner.get("default") is not None:
            del inner["default"]
    return made


def operation_id(name: str, kind: Kind | None = None) -> str:
    """`get_job` becomes `getJob`; with a format, `create_export` becomes `createCsvExport`."""
    first, *rest = name.split("_")
    return first + (kind.title if kind else "") + "".join(word.capitalize() for word in rest)


def media_types(kinds: Kinds) -> Mapping[str, Any]:
    """The media types of all files, without parameters, each once.

    Plain bytes come first: openapi-python-client reads files as the first media type that it knows.
    """
    found = (text.partition(";")[0] for kind in kinds.formats for text in kind.media_types)
    return {name: {"schema": {"type": "string", "format": "binary"}} for name in dict.fromkeys([BYTES_TYPE, *found])}
