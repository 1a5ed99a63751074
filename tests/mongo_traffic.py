"""Counts what a MongoDB client sends and receives, to show that a query does not read more than it needs."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import bson
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from services.chassis import mongo


class Traffic(CommandListener):
    """The commands of a client, and the bytes of all replies."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.received = 0

    def started(self, event: CommandStartedEvent) -> None:
        """A command is sent."""
        self.commands[event.command_name] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """A reply arrived."""
        self.received += len(bson.encode(event.reply))

    def failed(self, event: CommandFailedEvent) -> None:
        """Not of interest."""

    def reset(self) -> None:
        """Start from zero."""
        self.commands.clear()
        self.received = 0


@contextmanager
def observed(uri: str, database: str) -> Iterator[tuple[mongo.Database, Traffic]]:
    """A database through a client of its own, and its traffic."""
    traffic = Traffic()
    client: mongo.Client = AsyncIOMotorClient(uri, tz_aware=True, event_listeners=[traffic])
    try:
        yield client[database], traffic
    finally:
        client.close()
