"""The list of dependencies: every pinned package with its licence, and vulnerabilities where they can be found out."""

import json
import sys
from pathlib import Path

import pytest

from deploy.release.dependencies import UNKNOWN, Audit, packages, vulnerabilities
from tests.system import ROOT


def test_every_dependency_declares_a_licence() -> None:
    found = packages()
    assert len(found) > 50
    assert [one.name for one in found if one.licence == UNKNOWN] == []
    by_name = {one.name: one for one in found}
    assert "Apache" in by_name["pymongo"].licence
    assert by_name["pymongo"].services == "gateway, exporter, delivery, scheduler"
    assert by_name["asyncssh"].services == "delivery"


def auditor(folder: Path, *lines: str) -> list[str]:
    """A program in place of pip-audit."""
    file = folder / "auditor.py"
    file.write_text("import sys\n" + "\n".join(lines))
    return [sys.executable, str(file)]


def test_known_vulnerabilities_are_listed(tmp_path: Path) -> None:
    vulns = [{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}]
    report = {
        "dependencies": [{"name": "fine", "version": "1.0", "vulns": []}, {"name": "lost", "skip_reason": "not found"}]
    }
    report["dependencies"].append({"name": "bad", "version": "1.0", "vulns": vulns})
    write = f"[open(word[9:], 'w').write({json.dumps(report)!r}) for word in sys.argv if word.startswith('--output=')]"
    found = vulnerabilities("gateway", ROOT, auditor(tmp_path, write, "sys.exit(1)"))
    assert found == Audit(("bad 1.0: PYSEC-1, fixed in 1.1", "bad 1.0: PYSEC-2, fixed in no version"), ("lost",))


SKIPPED = json.dumps({"dependencies": [{"name": "lost", "skip_reason": "not found on PyPI"}]})
WRITE = f"[open(word[9:], 'w').write({SKIPPED!r}) for word in sys.argv if word.startswith('--output=')]"


@pytest.mark.parametrize("line", ["sys.exit('cannot connect')", "sys.exit(0)", WRITE])
def test_data_that_cannot_be_reached_is_no_vulnerability_and_not_none_of_them(tmp_path: Path, line: str) -> None:
    assert vulnerabilities("gateway", ROOT, auditor(tmp_path, line)) is None
