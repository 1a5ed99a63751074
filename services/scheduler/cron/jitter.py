"""A delay per schedule, derived from its id, so that 5,000 schedules at 09:00 do not start in the same second.

Pure.
"""

import hashlib
from datetime import timedelta

_MICROSECOND = timedelta(microseconds=1)


def offset(schedule_id: str, maximum: timedelta) -> timedelta:
    """The delay of a schedule, at least 0 and less than `maximum` (0 if that is 0); the same in every process.

    It is evenly distributed over ids and proportional to `maximum`: a longer spread keeps the order of starts.
    """
    # hash() differs between processes.
    share = int.from_bytes(hashlib.sha256(schedule_id.encode()).digest()[:8], "big")
    return _MICROSECOND * (share * (maximum // _MICROSECOND) >> 64)
