"""A gRPC channel that follows certificate changes: grpcio's channel credentials are fixed (grpc#41779).

Stubs are created once from a channel. This one takes its place and makes each call with the current credentials.
"""

from __future__ import annotations  # grpcio's classes take type arguments in its stubs only

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from services.chassis.rpc.tls import Certificates, Identity

# A call starts at the next iteration of the event loop; closing its channel before that would fail it.
START_SECONDS = 1.0
DRAIN_SECONDS = 60.0
"""The longest deadline of a call."""


class RenewedChannel:
    """The part of `grpc.aio.Channel` that generated stubs use, without request streams.

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
        """A method with one response."""
        return self._resolving(lambda channel: channel.unary_unary(*method, **codec))

    def unary_stream(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """A method with a response stream."""
        return self._resolving(lambda channel: channel.unary_stream(*method, **codec))

    async def close(self) -> None:
        """Close all channels; running calls end."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._channel.close()

    def _resolving(self, callable_of: Callable[[grpc.aio.Channel], Callable[..., Any]]) -> Callable[..., Any]:
        """The method, bound again when the channel has changed since its last call."""
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
            task = asyncio.create_task(_retire(self._channel))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            self._identity = self._certificates.current
            self._channel = self._connect(self._identity)
        return self._channel


async def _retire(channel: grpc.aio.Channel) -> None:
    """Close a channel that gets no new calls, after its running calls."""
    await asyncio.sleep(START_SECONDS)
    await channel.close(DRAIN_SECONDS)
