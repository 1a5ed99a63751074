"""Creates the services' streams with several replicas; the services would create them with one.

Runs as a Job in the cluster, and can be run again. The services only change what they rely on in existing streams.
"""

import asyncio
import logging
import os
import ssl
import sys
import time

import nats
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

log = logging.getLogger("streams")

TIMEOUT = 300.0
PAUSE = 2.0
FAULTS = (nats.errors.Error, asyncio.TimeoutError, OSError)
# The same streams as in services/chassis/jetstream.py; a test compares them.
STREAMS = (
    StreamConfig(
        name="EXPORTS",
        subjects=["exports.jobs.*"],
        retention=RetentionPolicy.WORK_QUEUE,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        discard_new_per_subject=True,
    ),
    StreamConfig(name="EXPORT_EVENTS", subjects=["exports.events.*"], retention=RetentionPolicy.LIMITS),
)
SEVEN_DAYS = 7 * 24 * 3600.0


async def keep(context: JetStreamContext, stream: StreamConfig, replicas: int) -> None:
    """Create the stream, or change the number of replicas of an existing one."""
    try:
        found = (await context.stream_info(stream.name or "")).config
    except NotFoundError:
        wanted = stream.evolve(max_age=SEVEN_DAYS, storage=StorageType.FILE, num_replicas=replicas)
        await context.add_stream(wanted)
        return
    if found.num_replicas != replicas:
        await context.update_stream(found.evolve(num_replicas=replicas))


async def keep_all(url: str, replicas: int) -> None:
    """Create or change all streams over one connection."""
    client = await nats.connect(
        servers=url.split(","),
        tls=ssl.create_default_context(cafile=os.environ.get("NATS_CA_FILE")),
        inbox_prefix="_INBOX.streams",
        allow_reconnect=False,
        connect_timeout=5,
    )
    try:
        context = client.jetstream(timeout=10.0)
        for stream in STREAMS:
            await keep(context, stream, replicas)
    finally:
        await client.close()


async def main() -> int:
    """Retry until it works. Return 1 if it did not within five minutes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    url, replicas = os.environ["NATS_URL"], int(os.environ["STREAM_REPLICAS"])
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            await keep_all(url, replicas)
        except FAULTS as exc:
            log.info("not yet: %r", exc)
            await asyncio.sleep(PAUSE)
        else:
            log.info("the streams have %d replicas", replicas)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
