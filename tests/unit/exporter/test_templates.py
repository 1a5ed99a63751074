"""Every feed template is complete, and says where its rules come from."""

from datetime import date

import pytest
from pydantic import ValidationError

from services.exporter.catalogue.output_columns import CheckedKind
from services.exporter.formats import formats
from services.exporter.formats.template_options import TemplateOptions
from services.exporter.templates import Template, templates
from services.exporter.transcode.cell_checks import rules_of

ALL = list(templates().values())


@pytest.mark.parametrize("template", ALL, ids=lambda template: template.name)
def test_a_template_has_sources_a_date_and_rules_for_every_column(template: Template) -> None:
    assert all(source.startswith("https://") for source in template.sources)
    assert date(2026, 1, 1) < template.read_on <= date.today()
    assert {"id", "title", "price", "link"} <= {name for name, column in template.columns.items() if column.required}
    assert template.check("price").kind is CheckedKind.PRICE
    for name, column in template.columns.items():
        rules = rules_of(template.check(name))
        assert ("too_long" in rules, "not_allowed" in rules) == (column.max_length is not None, bool(column.values))


@pytest.mark.parametrize("template", ALL, ids=lambda template: template.name)
def test_the_options_that_a_template_sets_are_options_of_the_format(template: Template) -> None:
    for name, use in template.formats.items():
        options = formats()[name].Options
        assert issubclass(options, TemplateOptions)
        assert options.template_format == name
        options.model_validate(use.options)


def test_a_template_with_an_unknown_column_in_a_group_is_refused() -> None:
    [meta] = [one for one in ALL if one.name == "meta_catalogue"]
    with pytest.raises(ValidationError, match="one_of names isbn, which is not among columns"):
        Template.model_validate({**meta.model_dump(), "one_of": [["brand", "isbn"]]})
