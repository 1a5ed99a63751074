"""Keeps the streams of jobs and events, so that nobody has to create them before the services start."""

from services.chassis.jetstream import JetStream
from services.export_events import EVENTS
from services.exporter.jobs.dispatch import EXPORTS

STREAMS = (EXPORTS, EVENTS)


async def keep_streams(jetstream: JetStream, replicas: int) -> None:
    """Create what is missing, and add replicas to what has fewer. Does nothing while NATS is not connected.

    Raises:
        nats.errors.Error, TimeoutError: the server refused, for example while too few of its cluster are there.
    """
    if jetstream.is_connected:
        for stream in STREAMS:
            await jetstream.ensure(stream, replicas)
