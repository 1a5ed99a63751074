"""The version is written into its places by the release, and they agree now."""

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from deploy.release import version
from tests.system import ROOT

CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n\n- Something new.\n\n## 0.1.0 - 2026-01-02\n\n- Everything.\n"


def test_all_places_have_the_version_of_the_project() -> None:
    base = yaml.safe_load((ROOT / version.BASE).read_text())
    (labels,) = [entry["pairs"] for entry in base["labels"]]
    assert labels["app.kubernetes.io/version"] == version.current(ROOT)
    for place, pattern in version.PLACES.items():
        assert pattern.findall((ROOT / place).read_text()) == [version.current(ROOT)], place


def test_no_other_file_of_the_manifests_names_the_version() -> None:
    found = [
        path.relative_to(ROOT)
        for path in (ROOT / "deploy" / "k8s").rglob("*.yaml")
        if re.search(rf"\b{re.escape(version.current(ROOT))}\b", path.read_text())
    ]
    assert found == [Path(version.BASE)]


@pytest.fixture
def changelog(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path / "CHANGELOG.md"


def test_the_changes_get_a_section_with_the_version_and_the_date(changelog: Path) -> None:
    version._date_changes(changelog, "0.2.0", date(2026, 3, 1))
    made = changelog.read_text()
    assert re.findall(r"^## .*$", made, re.MULTILINE) == [
        "## Unreleased",
        "## 0.2.0 - 2026-03-01",
        "## 0.1.0 - 2026-01-02",
    ]
    assert version.changes(changelog.parent, "0.2.0") == "### Added\n\n- Something new."
    assert version.changes(changelog.parent, "0.1.0") == "- Everything."
    assert version.changes(changelog.parent, "0.3.0") == ""
    version._date_changes(changelog, "0.2.0", date(2026, 3, 2))
    assert changelog.read_text() == made, "a second run changes nothing"


def test_a_changelog_without_changes_is_not_released(changelog: Path) -> None:
    version._date_changes(changelog, "0.2.0", date(2026, 3, 1))
    with pytest.raises(version.NotReleasable, match="no changes"):
        version._date_changes(changelog, "0.3.0", date(2026, 3, 1))


@pytest.mark.parametrize("wrong", ["", "1.2", "v1.2.3", "1.2.3+build", "1.2.3 ", "latest"])
def test_a_version_has_three_numbers(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(version.NotReleasable, match="is not a version"):
        version.write(tmp_path, wrong, date(2026, 3, 1))
