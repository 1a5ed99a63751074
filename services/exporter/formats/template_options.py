"""The option `template`: what the receiver of a feed accepts, checked before the export and in each row of it.

What can be known in advance is refused: columns that are missing or unknown, constants, and options. What depends on
the products is written all the same, and reported row by row.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema

from services.exporter.catalogue.columns import Selection, near_names, selection_of
from services.exporter.catalogue.output_columns import CellCheck, CheckedKind
from services.exporter.formats.column_options import Column, output_columns
from services.exporter.formats.contract import ExportOptions
from services.exporter.templates import Template, TemplateFormat, templates
from services.exporter.transcode.cell_checks import rules_of, text_refusal
from services.exporter.transcode.values import TEXT


def _known(name: str) -> str:
    if name not in templates():
        raise ValueError(f"there is no template {name!r}; there are {', '.join(templates())}")
    return name


TemplateName = Annotated[
    str,
    Field(strict=True, max_length=100),
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": list(templates())}),
]


class TemplateOptions(ExportOptions):
    """The options of formats that feed templates are made for."""

    template_format: ClassVar[Literal["csv", "xml"]]

    template: TemplateName | None = Field(
        default=None,
        description="With `columns`: the feed template of the receiver, which checks them and each row "
        "(`GET /exports/templates`).",
        examples=["google_merchant"],
    )

    @property
    def feed(self) -> tuple[Template, TemplateFormat] | None:
        """The template, and how it uses this format; None: no template, or not for this format."""
        if self.template is None:
            return None
        template = templates()[self.template]
        own = template.formats.get(self.template_format)
        return None if own is None else (template, own)

    @cached_property
    def selection(self) -> Selection:
        """As of all formats, with the checks of the template."""
        if self.columns is None or self.feed is None:
            return super().selection
        template, _ = self.feed
        checks = {name: template.check(name) for name in template.columns}
        return selection_of(output_columns(self.columns, checks, template.one_of))

    def completed(self) -> tuple[Self, Sequence[tuple[str, str]]]:
        """The options with those that the template sets, and what the template does not allow: place and message."""
        if self.template is None:
            return self, ()
        if self.feed is None:
            able = ", ".join(templates()[self.template].formats)
            return self, [("template", f"{self.template} is not for {self.template_format}; it is for {able}")]
        template, own = self.feed
        problems = []
        for name, value in own.options.items():
            given = getattr(self, name)
            if name in self.model_fields_set and given is not None and given != value:
                problems.append((name, f"must be {value!r} with the template {template.name}, or left out"))
        if self.columns is None:
            problems.append(("columns", f"is required with the template {template.name}"))
        else:
            problems += _column_problems(template, self.columns)
        return self.model_copy(update=dict(own.options)), problems


def _column_problems(template: Template, columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    given = {column.header for column in columns}
    for name, rule in template.columns.items():
        if rule.required and name not in given:
            yield "columns", f"has no column {name!r}, which {template.name} requires"
    for group in template.one_of:
        if given.isdisjoint(group):
            yield "columns", f"has none of the columns {', '.join(group)}; {template.name} requires one of them"
    for number, column in enumerate(columns):
        place = f"columns[{number}]"
        if column.header not in template.columns:
            near = near_names(column.header, template.columns)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            yield f"{place}.header", f"{template.name} has no column {column.header!r}{hint}"
            continue
        for option, message in _rule_problems(template.check(column.header), column):
            yield f"{place}.{option}", message


def _rule_problems(check: CellCheck, column: Column) -> Iterator[tuple[str, str]]:
    """The options of a column with which no row would be accepted, or with which some certainly would not."""
    rules = rules_of(check)
    output = column.output()
    changes = column.texts, column.number, column.date, column.true_false, column.case, column.max_length
    if not output.pieces and output.constant == "" and check.required:
        yield "value", "is empty, but the column is required in every row"
    elif not output.pieces and output.constant not in (None, "") and not any(changes):
        text: str = TEXT[output.constant.__class__](output.constant)
        if (reason := text_refusal(check, text)) is not None:
            yield "value", f"is refused by the receiver: {rules[reason]}"
    if check.values and column.case is None:
        written: list[tuple[str, Any]] = [("map", text) for text in (column.texts or {}).values()]
        written += [("map_default", column.map_default)] if column.map_default is not None else []
        written += [("bool", text) for text in column.true_false or ()]
        for option, text in written:
            if text and (reason := text_refusal(check, text)) is not None:
                yield option, f"has {text!r}, which the receiver refuses: {rules[reason]}"
                return
    if check.kind is CheckedKind.PRICE and column.number is not None:
        if column.number.decimal_mark != ".":
            yield "number.decimal_mark", "must be a point in a price"
        if column.number.thousands:
            yield "number.thousands", "must be empty in a price"
