"""How often an API key or an address may call: a token bucket each that refills steadily, in memory. Pure."""

import math
from collections import OrderedDict
from dataclasses import dataclass

WINDOW = 60.0
MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a call."""

    limit: int
    allowed: bool
    remaining: int
    """Calls that are allowed now."""
    reset: int
    """Seconds until the whole limit is available again."""
    retry_after: int
    """Seconds until the next call is allowed; 0 when it is allowed now."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Buckets of `limit` tokens that refill within a minute.

    Only the most recently used buckets are kept; one that was dropped starts full again.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, now: float, limit: int | None = None) -> Allowance:
        """Take a token if there is one; `now` is in seconds of a monotonic clock.

        Args:
            limit: of this key, if it is not that of all keys.
        """
        limit = limit or self.limit
        bucket = self._buckets.setdefault(key, _Bucket(float(limit), now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        rate = limit / WINDOW
        bucket.tokens = min(float(limit), bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        allowed = bucket.tokens >= 1
        if allowed:
            bucket.tokens -= 1
        return Allowance(
            limit,
            allowed,
            int(bucket.tokens),
            math.ceil((limit - bucket.tokens) / rate),
            0 if allowed else max(1, math.ceil((1 - bucket.tokens) / rate)),
        )

    def give_back(self, key: str) -> None:
        """Return a token that was taken."""
        if bucket := self._buckets.get(key):
            bucket.tokens = min(float(self.limit), bucket.tokens + 1)
