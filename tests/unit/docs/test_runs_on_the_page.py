"""docs/schedules.md lists every state, reason, setting and metric it should, and none that does not exist."""

import re

from services.scheduler.runs import submit
from services.scheduler.schedules.schedule import MISSED, RunState
from services.scheduler.settings import SchedulerSettings
from tests.system import ROOT
from tests.unit.monitoring.metrics_in_code import metrics

PAGE = (ROOT / "docs" / "schedules.md").read_text()


def table(heading: str) -> set[str]:
    """The names in the first column of the table with this heading."""
    rows = re.search(rf"^\| {heading} \|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert rows is not None
    first = [line.split("|")[1] for line in rows[1].splitlines()]
    return {word for cell in first for word in re.findall(r"`(\w+)`", cell)}


def test_every_state_and_every_reason_is_in_its_table() -> None:
    assert table("`status`") == {state.value for state in RunState}
    reasons = {MISSED, submit.OVERLAP, submit.QUEUE_FULL, submit.PAUSED, submit.DELETED}
    assert table("`reason` of a skipped run") == reasons


def test_every_metric_is_in_the_table() -> None:
    assert table("metric") == {name for name, metric in metrics().items() if metric.folder == "scheduler"}


def test_every_setting_it_names_exists_with_the_default_it_says() -> None:
    named = dict(re.findall(r"`([A-Z]+_[A-Z_]+)` \((\d+)\)", PAGE))
    assert set(named) == {"GRACE_SECONDS", "FOLLOW_SECONDS", "RUN_RETRY_SECONDS", "MAX_SCHEDULES"}
    defaults = SchedulerSettings.model_construct()
    assert {name: float(value) for name, value in named.items()} == {
        name: float(getattr(defaults, name.lower())) for name in named
    }
    assert (defaults.run_history_days, defaults.tick_seconds) == (90, 0.5)
