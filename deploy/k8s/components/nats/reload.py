"""Makes every NATS server read its configuration and certificates again; it does neither by itself.

Runs as a CronJob in the cluster, as the user of the system account.
"""

import asyncio
import json
import logging
import os
import ssl
import sys

import nats
import nats.errors
from nats.aio.client import Client

log = logging.getLogger("reload")

TIMEOUT = 10.0


async def servers(client: Client, count: int) -> list[str]:
    """The ids of all servers, each of which answers for itself.

    Raises:
        TimeoutError: fewer answered.
    """
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    await client.publish("$SYS.REQ.SERVER.PING.IDZ", b"", reply=inbox)
    return [json.loads((await answers.next_msg(timeout=TIMEOUT)).data)["id"] for _ in range(count)]


async def reload(client: Client, server: str) -> None:
    """Make one server reload.

    Raises:
        RuntimeError: it refused.
    """
    answer = json.loads((await client.request(f"$SYS.REQ.SERVER.{server}.RELOAD", b"", timeout=TIMEOUT)).data)
    if "error" in answer:
        raise RuntimeError(f"{server}: {answer['error']}")


async def main() -> int:
    """Return 1 if a server did not reload; the Job runs again then."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    client = await nats.connect(
        servers=os.environ["NATS_URL"].split(","),
        tls=ssl.create_default_context(cafile=os.environ["NATS_CA_FILE"]),
        inbox_prefix="_INBOX.system",
        allow_reconnect=False,
        connect_timeout=5,
    )
    try:
        found = await servers(client, int(os.environ["NATS_SERVERS"]))
        for server in found:
            await reload(client, server)
    except (nats.errors.Error, OSError, RuntimeError) as exc:
        log.error("not reloaded: %r", exc)  # noqa: TRY400  the reason is enough
        return 1
    finally:
        await client.close()
    log.info("%d servers have reloaded", len(found))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
