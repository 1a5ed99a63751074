"""Folders of demos that were killed: the next demo removes them, and no other."""

import os
import time
from pathlib import Path

from deploy.local.demo.own_stack import ABANDONED_AFTER, remove_abandoned
from deploy.local.state import FILE, claimed


def folder(parent: Path, name: str, age: float) -> Path:
    made = parent / name
    made.mkdir()
    (made / FILE).touch()
    then = time.time() - age
    os.utime(made / FILE, (then, then))
    return made


def test_only_old_folders_nobody_holds_are_removed(tmp_path: Path) -> None:
    dead = folder(tmp_path, "demo-dead", ABANDONED_AFTER + 1)
    young = folder(tmp_path, "demo-young", 0)
    held = folder(tmp_path, "demo-held", ABANDONED_AFTER + 1)
    other = folder(tmp_path, "logs", ABANDONED_AFTER + 1)
    with claimed(held):
        remove_abandoned(tmp_path)
    assert not dead.exists()
    assert young.exists()
    assert held.exists()
    assert other.exists()
