"""A gRPC channel that goes on under a new certificate: grpcio's credentials of a channel never change (grpc#41779).

Stubs are made once from a channel. This one stands in for it and makes each call on a channel with current credentials.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from services.chassis.rpc.tls import Certificates, Identity

# A call that was made starts at the loop's next turn; a channel that is closed before that would fail it.
STARTS_WITHIN = 1.0
ENDS_WITHIN = 60.0
"""Seconds; the longest deadline of a call."""


class RenewedChannel:
    """What generated stubs use of `grpc.aio.Channel`, for calls without a stream of requests.

    Args:
        connect: opens a channel with an identity.
    """

    def __init__(self, connect: Callable[[Identity], grpc.aio.Channel], certificates: Certificates) -> None:
        self._connect = connect
        self._certificates = certificates
        self._identity = certificates.current
        self._channel = connect(self._identity)
        self._retiring: set[asyncio.Task[None]] = set()

    def unary_unary(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """A method with one answer."""
        return self._resolving(lambda channel: channel.unary_unary(*method, **codec))

    def unary_stream(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """A method with a stream of answers."""
        return self._resolving(lambda channel: channel.unary_stream(*method, **codec))

    async def close(self) -> None:
        """Close what is open; calls under way end."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._channel.close()

    def _resolving(self, callable_of: Callable[[grpc.aio.Channel], Callable[..., Any]]) -> Callable[..., Any]:
        """The method, made anew when the channel is another one than at its last call."""
        channel = self._channel
        bound = callable_of(channel)

        def call(*request: Any, **options: Any) -> Any:
            nonlocal channel, bound
            if channel is not self._current():
                channel = self._channel
                bound = callable_of(channel)
            return bound(*request, **options)

        return call

    def _current(self) -> grpc.aio.Channel:
        if self._identity != self._certificates.current:
            task = asyncio.create_task(_retired(self._channel))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            self._identity = self._certificates.current
            self._channel = self._connect(self._identity)
        return self._channel


async def _retired(channel: grpc.aio.Channel) -> None:
    """Close a channel that gets no more calls, after those under way."""
    await asyncio.sleep(STARTS_WITHIN)
    await channel.close(ENDS_WITHIN)
