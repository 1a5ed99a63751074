"""Keeps several requests in flight, so that a transfer does not wait a round trip for each of them."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class RequestWindow(Generic[T]):
    """At most `size` requests in flight; their results are taken in the order they were started.

    Leaving the context cancels the requests that were not waited for.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: deque[asyncio.Task[T]] = deque()

    @property
    def full(self) -> bool:
        """Whether a result has to be taken before another request may start."""
        return len(self._tasks) >= self._size

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, request: Coroutine[Any, Any, T]) -> None:
        """Start a request."""
        self._tasks.append(asyncio.create_task(request))

    async def oldest(self) -> T:
        """Wait for the oldest request and take its result."""
        return await self._tasks.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
