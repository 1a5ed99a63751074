"""How long to wait before the next attempt: doubling up to a limit, spread so that many do not come back at once."""


def delay(attempt: int, *, first: float, longest: float, random: float) -> float:
    """Seconds after attempt `attempt` (from 1): doubling from `first`, `random` (0 to 1) spreads the upper half."""
    full = min(longest, first * 2.0 ** min(64, max(0, attempt - 1)))
    return full * (0.5 + random / 2)
