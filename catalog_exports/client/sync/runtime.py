"""What the two clients do differently: HTTP, pauses and blocking work. Written by hand, unlike the rest of `sync`."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

Result = TypeVar("Result")
HttpClient = httpx.Client


def pause(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


def blocking(work: Callable[[], Result]) -> Result:
    """The result of work that blocks."""
    return work()
