"""Server-Sent Events (HTML standard, 9.2)."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from services.gateway.http.route import Parameter

KEEP_ALIVE_SECONDS = 15.0
"""Proxies close a connection on which nothing is sent."""
EVENT = "job"
LAST_EVENT_PARAMETER = Parameter(
    "Last-Event-ID", "The id of the last event that you have; its state is not sent again.", where="header"
)
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


async def send_events(request: web.Request, messages: AsyncGenerator[str | None]) -> web.StreamResponse:
    """Send each message as an event, and a comment for None, until the messages end or the client has gone.

    The id of an event is a hash of its data, so a client that reconnects does not get the state it knows already.
    """
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    if request.method == "HEAD":
        await messages.aclose()
        return response
    known = request.headers.get(LAST_EVENT_PARAMETER.name, "")
    async with aclosing(messages):
        async for message in messages:
            if message is None:
                await response.write(b": keep-alive\n\n")
            elif (number := hashlib.sha256(message.encode()).hexdigest()[:16]) != known:
                known = number
                await response.write(f"id: {number}\nevent: {EVENT}\ndata: {message}\n\n".encode())
    await response.write_eof()
    return response
