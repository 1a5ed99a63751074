"""Initiates the replica set with fresh members, and gives each service a user that only reaches its own database.

Runs as a Job in the cluster, and can be run again: an existing set is left alone, passwords and roles are updated.
The users and their passwords are those in the services' connection strings; one without a user needs none. With TLS,
it also makes every member reload its certificate, which mongod otherwise does only at its next start.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

log = logging.getLogger("initiate")

URIS = {
    "gateway": "GATEWAY_MONGODB_URI",
    "exporter": "EXPORTER_MONGODB_URI",
    "delivery": "DELIVERY_MONGODB_URI",
    "scheduler": "SCHEDULER_MONGODB_URI",
}
"""Where each service's connection string is."""
OTHERS: dict[str, tuple[str, list[str | dict[str, str]]]] = {
    # MongoDB's own role: it may read everything, including the users and the oplog, and write nothing.
    "backup": ("BACKUP_MONGODB_URI", ["backup"]),
    # What mongodb_exporter asks for: the state of servers and databases, and the oplog.
    "monitoring": ("MONITORING_MONGODB_URI", ["clusterMonitor", {"role": "read", "db": "local"}]),
}
"""Users that are no services, with the variable of their connection string, which is optional, and their roles."""
ALREADY_INITIALIZED = 23
USER_NOT_FOUND, ROLE_NOT_FOUND = 11, 31
TIMEOUT = 300.0
PAUSE = 2.0
CLIENT: dict[str, Any] = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 5_000, "socketTimeoutMS": 30_000}

CATALOGUE = ("products", "suppliers")
"""The collections of a catalogue. A role cannot name the databases of all tenants, so it names these collections."""
AUDIT = {"db": "audit", "collection": "entries"}
APPEND: list[dict[str, Any]] = [{"resource": AUDIT, "actions": ["insert"]}]
PRIVILEGES: dict[str, list[dict[str, Any]]] = {
    # Beside its own database, the gateway reads the audit log and maintains its indexes, with the time that is kept.
    "gateway": [
        {"resource": AUDIT, "actions": ["insert", "find", "createIndex", "listIndexes", "collMod"]},
    ],
    "exporter": [
        *APPEND,
        *({"resource": {"db": "", "collection": name}, "actions": ["find"]} for name in CATALOGUE),
    ],
    "delivery": APPEND,
    "scheduler": APPEND,
}
"""What each service may do beside reading and writing the database with its own name."""


class Service:
    """A service's user and role, from its connection string; also those that are no services."""

    def __init__(self, name: str, uri: str) -> None:
        parsed = parse_uri(uri, validate=True)
        self.name = name
        self.role = f"catalog-exports-{name}"
        self.hosts = [f"{host}:{port}" for host, port in parsed["nodelist"]]
        self.replica_set = parsed["options"]["replicaSet"]
        self.tls = {option: value for option, value in parsed["options"].items() if option.lower().startswith("tls")}
        self.user, self.password = parsed["username"], parsed["password"]


def services(environment: Mapping[str, str]) -> list[Service]:
    """The services of the connection strings in the environment."""
    return [Service(name, environment[variable]) for name, variable in URIS.items()]


def member_login(environment: Mapping[str, str]) -> dict[str, Any]:
    """Login for a set without users: as a member, with the key that all members share."""
    file = environment.get("MONGODB_KEY_FILE")
    if not file:
        return {}
    key = "".join(Path(file).read_text().split())  # mongod ignores whitespace too
    return {"username": "__system", "password": key, "authSource": "local", "authMechanism": "SCRAM-SHA-256"}


def initiate(service: Service, login: dict[str, Any]) -> None:
    """Initiate the set on its first member."""
    members = [{"_id": number, "host": host} for number, host in enumerate(service.hosts)]
    options = {**CLIENT, **service.tls, **login}
    with MongoClient[dict[str, Any]](service.hosts[0], directConnection=True, **options) as first:
        try:
            first.admin.command("replSetInitiate", {"_id": service.replica_set, "members": members})
        except OperationFailure as exc:
            if exc.code != ALREADY_INITIALIZED:
                raise


def others(environment: Mapping[str, str]) -> list[Service]:
    """The users that are no services, if there is a connection string for them."""
    return [Service(name, environment[variable]) for name, (variable, _) in OTHERS.items() if environment.get(variable)]


def keep_users(wanted: list[Service], further: list[Service], login: dict[str, Any]) -> None:
    """Create roles and users, or update them. Waits for a primary."""
    first = wanted[0]
    options = {**CLIENT, **first.tls, **login}
    with MongoClient[dict[str, Any]](first.hosts, replicaSet=first.replica_set, **options) as members:
        admin = members.admin
        for service in wanted:
            own = [{"role": "readWrite", "db": service.name}]
            _keep(admin, "Role", service.role, ROLE_NOT_FOUND, privileges=PRIVILEGES[service.name], roles=own)
        for service in wanted:
            if service.user:
                _keep(admin, "User", service.user, USER_NOT_FOUND, pwd=service.password, roles=[service.role])
        for one in further:
            if one.user:
                _keep(admin, "User", one.user, USER_NOT_FOUND, pwd=one.password, roles=OTHERS[one.name][1])


def renew_certificates(service: Service, login: dict[str, Any]) -> None:
    """Make each member use the current contents of its certificate file."""
    for host in service.hosts if service.tls else ():
        with MongoClient[dict[str, Any]](host, directConnection=True, **CLIENT, **service.tls, **login) as member:
            member.admin.command("rotateCertificates")


def _keep(admin: Any, kind: str, name: str, not_found: int, **content: Any) -> None:
    try:
        admin.command(f"update{kind}", name, **content)
    except OperationFailure as exc:
        if exc.code != not_found:
            raise
        admin.command(f"create{kind}", name, **content)


def main() -> int:
    """Retry until it works. Return 1 if it did not within five minutes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    wanted, further, login = services(os.environ), others(os.environ), member_login(os.environ)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            initiate(wanted[0], login)
            keep_users(wanted, further, login)
            renew_certificates(wanted[0], login)
        except PyMongoError as exc:
            log.info("not yet: %s", str(exc)[:300])
            time.sleep(PAUSE)
        else:
            log.info("the replica set %s with %s is ready", wanted[0].replica_set, ", ".join(wanted[0].hosts))
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
