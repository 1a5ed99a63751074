"""docs/deliveries.md lists every state, code, setting and metric it should, and none that does not exist."""

import re

from services.delivery.deliveries.delivery import DeliveryState
from services.delivery.settings import DeliverySettings
from tests.system import ROOT
from tests.unit.monitoring.metrics_in_code import metrics

PAGE = (ROOT / "docs" / "deliveries.md").read_text()
DELIVERY = ROOT / "services" / "delivery"
# The codes of destinations are documented in docs/destinations.
SOURCES = "\n".join(
    source.read_text()
    for source in [*sorted(DELIVERY.rglob("*.py")), ROOT / "services" / "chassis" / "leasing" / "leases.py"]
    if DELIVERY / "destinations" not in source.parents
)
RAISED = re.compile(r"(?:ErrorInfo|SourceError|UnusablePlatform)\(\s*(?:code=)?\"([a-z_]+)\"")


def table(heading: str) -> set[str]:
    """The names in the first column of the table with this heading."""
    rows = re.search(rf"^\| {heading} \|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert rows is not None
    first = [line.split("|")[1] for line in rows[1].splitlines()]
    return {word for cell in first for word in re.findall(r"`(\w+)`", cell)}


def test_every_state_is_in_the_table() -> None:
    assert table("status") == {state.value for state in DeliveryState}


def test_every_code_that_does_not_belong_to_a_destination_is_in_the_table() -> None:
    raised = set(RAISED.findall(SOURCES))
    assert len(raised) > 5
    assert table("code") == raised


def test_every_setting_and_every_metric_it_names_exists() -> None:
    settings = {name.upper() for name in DeliverySettings.model_fields}
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)\b", PAGE))
    assert {"MASTER_KEYS", "EGRESS_ALLOW", "DELIVERY_MAX_ATTEMPTS"} <= named <= settings
    assert len(table("metric")) == 6
    assert table("metric") <= set(metrics())


def test_its_numbers_are_the_defaults() -> None:
    defaults = DeliverySettings.model_construct()
    assert (defaults.delivery_slots, defaults.platform_slots, defaults.delivery_history_days) == (8, 2, 90)
    assert (defaults.delivery_retry_seconds, defaults.max_retry_seconds, defaults.delivery_max_attempts) == (
        5,
        3600,
        12,
    )
    assert (defaults.delivery_lease_seconds, defaults.reconcile_seconds) == (30, 60)
