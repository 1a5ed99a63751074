"""Initiates the replica set in MONGODB_URI with fresh members, and creates the user in the URI.

Runs as a Job in the cluster, and can be run again: an existing set is left alone, the user's password is updated.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

log = logging.getLogger("initiate")

ALREADY_INITIALIZED = 23
USER_NOT_FOUND = 11
TIMEOUT = 300.0
PAUSE = 2.0
CLIENT: dict[str, Any] = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 5_000, "socketTimeoutMS": 30_000}
# The four services' databases, and read access to every tenant's catalogue.
ROLES: list[Any] = [
    *({"role": "readWrite", "db": name} for name in ("gateway", "exporter", "delivery", "scheduler")),
    "readAnyDatabase",
]


def member_login() -> dict[str, Any]:
    """Login for a set without users: as a member, with the key that all members share."""
    file = os.environ.get("MONGODB_KEY_FILE")
    if not file:
        return {}
    key = "".join(Path(file).read_text().split())  # mongod ignores whitespace too
    return {"username": "__system", "password": key, "authSource": "local", "authMechanism": "SCRAM-SHA-256"}


def initiate(hosts: list[str], name: str, login: dict[str, Any]) -> None:
    """Initiate the set on its first member."""
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    with MongoClient[dict[str, Any]](hosts[0], directConnection=True, **CLIENT, **login) as first:
        try:
            first.admin.command("replSetInitiate", {"_id": name, "members": members})
        except OperationFailure as exc:
            if exc.code != ALREADY_INITIALIZED:
                raise


def keep_user(hosts: list[str], name: str, login: dict[str, Any], username: str, password: str) -> None:
    """Create the user, or update its password and roles. Waits for a primary."""
    with MongoClient[dict[str, Any]](hosts, replicaSet=name, **CLIENT, **login) as members:
        try:
            members.admin.command("updateUser", username, pwd=password, roles=ROLES)
        except OperationFailure as exc:
            if exc.code != USER_NOT_FOUND:
                raise
            members.admin.command("createUser", username, pwd=password, roles=ROLES)


def main() -> int:
    """Retry until it works. Return 1 if it did not within five minutes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    wanted = parse_uri(os.environ["MONGODB_URI"], validate=True)
    hosts = [f"{host}:{port}" for host, port in wanted["nodelist"]]
    name, login = wanted["options"]["replicaSet"], member_login()
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            initiate(hosts, name, login)
            if wanted["username"]:
                keep_user(hosts, name, login, wanted["username"], wanted["password"])
        except PyMongoError as exc:
            log.info("not yet: %s", str(exc)[:300])
            time.sleep(PAUSE)
        else:
            log.info("the replica set %s with %s is ready", name, ", ".join(hosts))
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
