"""A delay of a schedule's start that its id fixes, so that 5,000 schedules at 09:00 do not start in the same second.

Pure.
"""

import hashlib
from datetime import timedelta

_MICROSECOND = timedelta(microseconds=1)


def offset(schedule_id: str, most: timedelta) -> timedelta:
    """The delay of this schedule: from zero to less than `most`, the same in every process; zero when `most` is zero.

    Evenly spread over ids, and proportional to `most`: a longer spread keeps the order of starts.
    """
    # Not hash(): that differs from process to process.
    share = int.from_bytes(hashlib.sha256(schedule_id.encode()).digest()[:8], "big")
    return _MICROSECOND * (share * (most // _MICROSECOND) >> 64)
