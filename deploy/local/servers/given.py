"""Checks that given servers (MONGODB_URI, NATS_URL) can be used, with messages that say what is missing."""

from typing import Any
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

from deploy.local.processes.children import NotReady
from deploy.local.servers import has_jetstream

ANSWER_MS = 5_000
NATS_PORT = 4222


def check_mongodb(uri: str) -> None:
    """Check that a replica set with a primary answers.

    Raises:
        NotReady: none does.
    """
    try:
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=ANSWER_MS) as client:
            hello = client.admin.command("hello")
    except (InvalidURI, ConfigurationError, ValueError) as exc:
        raise NotReady(f"MONGODB_URI: {exc}") from exc
    except PyMongoError as exc:
        raise NotReady(f"MONGODB_URI: no primary answered within {ANSWER_MS / 1000:g} s: {str(exc)[:300]}") from exc
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise NotReady(
            "MONGODB_URI: this MongoDB is not a replica set, which exports need for snapshots; start it with "
            "--replSet rs0 and run rs.initiate() once"
        )


def check_nats(url: str) -> None:
    """Check that a NATS server with JetStream answers.

    Raises:
        NotReady: none does.
    """
    try:
        parts = urlsplit(url if "//" in url else f"nats://{url}")
        host, port = parts.hostname or "127.0.0.1", parts.port or NATS_PORT
    except ValueError as exc:
        raise NotReady(f"NATS_URL: {exc}") from exc
    if not has_jetstream(host, port):
        raise NotReady(f"NATS_URL: no NATS server with JetStream answers at {host}:{port}; start it with --jetstream")
