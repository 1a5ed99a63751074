"""Which fault comes when, where and for how long: decided by the seed alone, before anything starts."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

MEAN_GAP = 1.7
"""Seconds between the starts of two faults, on average: 1000 faults in half an hour."""
SERVICES = ("gateway", "exporter", "exporter-worker", "delivery", "scheduler")
RECEIVERS = ("sftp", "ftp", "s3")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    `share` weights how often it occurs. It lasts `low` to `high` seconds and affects one of the `targets`.
    """

    name: str
    share: int
    low: float
    high: float
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at` seconds after the first moment, for `seconds`; `amount` is the clock's error in seconds."""

    number: int
    at: float
    kind: str
    target: str
    seconds: float
    amount: float = 0.0


def numbered(name: str, count: int) -> tuple[str, ...]:
    """The names of several processes of one program."""
    return tuple(f"{name}-{number}" for number in range(1, count + 1))


def kinds(replicas: int, mongods: int, lease: float) -> tuple[Kind, ...]:
    """All kinds, for a stack with so many processes of each service, whose leases last `lease` seconds."""
    services = tuple(process for name in SERVICES for process in numbered(name, replicas))
    members = numbered("mongod", mongods)
    links = tuple(name for name in services if not name.startswith(("gateway", "exporter-worker")))
    links = (*links, *members, "nats-server", *RECEIVERS)
    stopped = (1.3 * lease, 2.0 * lease)
    return (
        Kind("kill -9 of a service", 26, 0.1, 3.0, services),
        Kind("SIGSTOP of a service", 14, *stopped, services),
        Kind("wrong clock of a service", 7, 0.1, 1.0, services),
        Kind("kill -9 of mongod", 6, 0.1, 4.0, members),
        Kind("SIGSTOP of mongod", 3, 2.0, 8.0, members),
        Kind("wrong clock of mongod", 2, 0.1, 1.0, members),
        Kind("step-down of the primary", 5, 0.0, 0.0, ("primary",)),
        Kind("stalled disk of mongod", 3, 2.0, 7.0, members),
        Kind("kill -9 of nats-server", 4, 0.1, 4.0, ("nats-server",)),
        Kind("nats-server loses its store", 4, 0.1, 2.0, ("nats-server",)),
        Kind("connections cut", 12, 0.0, 0.0, links),
        Kind("connections stalled", 6, 2.0, 10.0, links),
        Kind("artifact disk full", 3, 2.0, 6.0, ("artifacts",)),
        Kind("artifact disk stalled", 2, 2.0, 6.0, ("artifacts",)),
        Kind("kill -9 of a destination", 3, 0.1, 3.0, RECEIVERS),
    )


def made(seed: int, count: int, among: Sequence[Kind]) -> list[Fault]:
    """The plan of a seed: every kind once, as far as `count` allows, and then kinds by their share."""
    rng = random.Random(f"plan {seed}")
    first = rng.sample(list(among), min(count, len(among)))
    more = rng.choices(among, [kind.share for kind in among], k=count - len(first))
    faults, at = [], 0.0
    for number, kind in enumerate([*first, *more], 1):
        seconds = rng.uniform(kind.low, kind.high)
        faults.append(Fault(number, at, kind.name, rng.choice(kind.targets), seconds, _error(rng, kind)))
        at += rng.uniform(0.1, 2 * MEAN_GAP - 0.1)
    return faults


def _error(rng: random.Random, kind: Kind) -> float:
    """Seconds that a clock is wrong. MongoDB's is the clock of all leases, so its error delays them by as much."""
    size = rng.uniform(2, 15) if kind.name.endswith("mongod") else rng.uniform(5, 600)
    return rng.choice((-1, 1)) * size if "clock" in kind.name else 0.0
