"""What the two clients do differently: HTTP, pauses and blocking work. `sync/runtime.py` is the counterpart."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import httpx

Result = TypeVar("Result")
HttpClient = httpx.AsyncClient


async def pause(seconds: float) -> None:
    """Sleep."""
    await asyncio.sleep(seconds)


async def blocking(work: Callable[[], Result]) -> Result:
    """The result of work that blocks."""
    return await asyncio.to_thread(work)
