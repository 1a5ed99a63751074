"""Limits per tenant: defaults, the file with other values, and what is wrong with a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services import limits
from services.limits import Limits, LimitSettings


def settings(file: Path, content: object, **more: Any) -> LimitSettings:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return LimitSettings(limits_file=file, **more)


def test_a_tenant_without_limits_of_its_own_has_the_defaults(tmp_path: Path) -> None:
    found = Limits(settings(tmp_path / "limits.json", {"shop": {"max_platforms": 3}}, max_live_jobs=7, rate_limit=9))
    assert found.of("other") == limits.TenantLimits(max_live_jobs=7, rate_limit=9)
    assert found.of("shop") == limits.TenantLimits(max_live_jobs=7, rate_limit=9, max_platforms=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"shop": {"max_jobs": 3}}, "shop.max_jobs is no limit; there are max_live_jobs, "),
        ({"shop": {"max_live_jobs": 0}}, "shop.max_live_jobs must be greater than or equal to 1"),
        ({"shop": 3}, "must be like"),
        ([], "must be like"),
        ("{", "Expecting property name"),
    ],
)
def test_an_invalid_file_is_refused_at_start(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(tmp_path / "limits.json", content)
    assert "LIMITS_FILE" in str(refused.value)
    assert words in str(refused.value)


def test_a_missing_file_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="No such file"):
        LimitSettings(limits_file=tmp_path / "absent.json")


def test_a_changed_file_is_read_again_and_an_invalid_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHECK_SECONDS", 0.0)
    file = tmp_path / "limits.json"
    found = Limits(settings(file, {"shop": {"max_live_jobs": 1}}))
    assert found.of("shop").max_live_jobs == 1
    replacement = tmp_path / "new.json"
    for content, expected in (('{"shop": {"max_live_jobs": 22}}', 22), ("{", 22), ("{}", 1_000)):
        replacement.write_text(content)
        replacement.replace(file)
        assert found.of("shop").max_live_jobs == expected
