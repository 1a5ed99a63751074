"""The dashboard can be imported into any Grafana, and its panels do not overlap."""

from itertools import combinations
from typing import Any

from tests.unit.monitoring.shown import dashboard

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """The cells of Grafana's grid that a panel covers."""
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def test_the_data_source_is_chosen_when_the_dashboard_is_imported() -> None:
    [variable] = dashboard()["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == SOURCE
            assert panel["targets"]
            assert all(target["datasource"] == SOURCE for target in panel["targets"])
    assert "id" not in dashboard() and "__inputs" not in dashboard()


def test_panels_and_queries_have_unique_ids() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["title"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    for panel in panels:
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(letters)) == len(letters)


def test_panels_do_not_overlap_and_fit_in_the_grid() -> None:
    panels = dashboard()["panels"]
    assert all(0 <= x < WIDTH and y >= 0 for panel in panels for x, y in cells(panel))
    for one, other in combinations(panels, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_every_panel_has_a_unit_and_thresholds_in_order() -> None:
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"]
            first, *others = [step["value"] for step in defaults["thresholds"]["steps"]]
            assert first is None and others == sorted(others)
