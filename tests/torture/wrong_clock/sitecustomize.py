"""Imported by every Python process that runs with libfaketime, whose `clock_nanosleep` fails with EINVAL (0.9.10)."""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: SupportsIndex | float) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
