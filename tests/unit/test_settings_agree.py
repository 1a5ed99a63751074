"""A setting has one meaning: the same name has the same default and the same limits in every service."""

import itertools

import pytest
from pydantic.fields import FieldInfo

from services.chassis.process import outdated
from services.chassis.settings import ProcessSettings
from services.delivery.settings import DeliverySettings
from services.exporter.settings import ExporterSettings
from services.gateway.settings import GatewaySettings
from services.scheduler.settings import SchedulerSettings

SERVICES: tuple[type[ProcessSettings], ...] = (GatewaySettings, ExporterSettings, DeliverySettings, SchedulerSettings)
SHARED = sorted(
    {
        name
        for one, other in itertools.combinations(SERVICES, 2)
        for name in one.model_fields.keys() & other.model_fields
    }
)


def meaning(field: FieldInfo) -> object:
    return field.annotation, field.is_required(), field.default, sorted(map(repr, field.metadata))


@pytest.mark.parametrize("name", SHARED)
def test_a_name_has_the_same_default_and_limits_everywhere(name: str) -> None:
    found = {one.__name__: meaning(one.model_fields[name]) for one in SERVICES if name in one.model_fields}
    assert len(set(map(repr, found.values()))) == 1, found


def test_names_that_were_renamed_are_no_settings_and_the_new_ones_are() -> None:
    renamed = [(old, new, one) for one in SERVICES for old, new in one.renamed.items()]
    assert len(renamed) == 10
    every = {name.upper() for one in SERVICES for name in one.model_fields}
    for old, new, settings in renamed:
        assert old not in every
        assert new.lower() in settings.model_fields


def test_an_old_name_is_refused_unless_the_new_one_is_set_as_well() -> None:
    renamed = ExporterSettings.renamed
    assert outdated({"LEASE_SECONDS": "20", "HISTORY_DAYS": ""}, renamed) == {"LEASE_SECONDS": "JOB_LEASE_SECONDS"}
    assert outdated({"LEASE_SECONDS": "20", "JOB_LEASE_SECONDS": "20"}, renamed) == {}
