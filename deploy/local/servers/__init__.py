"""The servers of the local stack and of the tests, one module each."""

from deploy.local.servers.mongod import Mongod, mongod_program
from deploy.local.servers.nats import NatsServer, has_jetstream, nats_program
from deploy.local.servers.ports import HOST, PORT_FREE_TIMEOUT, free_port, is_free

__all__ = [
    "HOST",
    "PORT_FREE_TIMEOUT",
    "Mongod",
    "NatsServer",
    "free_port",
    "has_jetstream",
    "is_free",
    "mongod_program",
    "nats_program",
]
