"""One run: start everything, torture it, let it settle, and settle the account."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import destinations, plan, schedules
from tests.torture.account import DEFECT, LATE, WRONG, Account
from tests.torture.audit import Audit
from tests.torture.clients import Client, Platform
from tests.torture.cluster import LEASE, Cluster
from tests.torture.injector import Caused, Injector
from tests.torture.orders import SUPPLIERS, TENANTS, References, orders
from tests.torture.rest import Rest

DRAIN_TIMEOUT = 600.0
"""Seconds for the clients to see their last jobs to their end."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much runs.

    `replicas` of each service, `mongods` in the replica set, `clients`, the mean `pause` of a client between two jobs
    (seconds), and `tenants` with their numbers of products.
    """

    replicas: int = 2
    mongods: int = 3
    clients: int = 6
    pause: float = 1.0
    tenants: Mapping[str, int] = field(default_factory=lambda: TENANTS)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found."""

    account: Account
    caused: Sequence[Caused]
    skipped: Sequence[plan.Fault]


def tortured(folder: Path, count: int, seed: int, size: Size, report: Callable[[str], None]) -> Result:
    """Run `count` faults of a seed; the result says whether all promises were kept."""
    account, stop = Account(), threading.Event()
    with Cluster(folder, size.replicas, size.mongods, report) as cluster, _set_at_exit(stop):
        for tenant, products in size.tenants.items():
            cluster.fill(tenant, products, SUPPLIERS)
        rests = {tenant: Rest(cluster.gateways, cluster.key(tenant), stop, account.defects) for tenant in size.tenants}
        references = References(rests, size.tenants)
        references.take()
        for wrong in references.wrong:
            account.found(WRONG, wrong)
        report("the stack is up, and all files equal the catalogue")
        platforms = _registered(rests, destinations.opened(cluster))
        watched = schedules.created(rests, platforms)
        injector = Injector(cluster, report)
        with _clients(seed, size, rests, platforms, references, account) as finish:
            _let_work(cluster, account)
            injector.run(plan.made(seed, count, plan.kinds(size.replicas, size.mongods, LEASE)))
            report("all faults have ended; the last jobs go on")
            _let_work(cluster, account)
            finish()
        report("settling the account")
        last = schedules.paused(rests, watched)
        jobs = [*account.jobs.values(), *schedules.settled(rests, watched, last, account)]
        Audit(account, jobs, rests, platforms, references, cluster.disk.folder).run()
        for late in injector.late:
            account.found(LATE, late)
        for defect in account.defects:
            account.found(DEFECT, defect)
        for crash in cluster.crashes:
            account.found(DEFECT, crash)
        account.count("processes started again, since a server was down when they started", cluster.failed_starts)
    return Result(account, injector.caused, injector.skipped)


@contextlib.contextmanager
def _set_at_exit(event: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        event.set()


def _registered(rests: Mapping[str, Rest], servers: Sequence[destinations.Destination]) -> dict[str, list[Platform]]:
    """A platform of each tenant at each destination."""
    found: dict[str, list[Platform]] = {}
    for tenant, rest in rests.items():
        found[tenant] = []
        for server in servers:
            body = {"name": server.kind, "platform_type": server.kind, "config": server.config(tenant)}
            answer = rest.call("POST", "/exports/platforms", body)
            found[tenant].append(Platform(answer.json["id"], server))
    return found


@contextlib.contextmanager
def _clients(
    seed: int,
    size: Size,
    rests: Mapping[str, Rest],
    platforms: Mapping[str, Sequence[Platform]],
    references: References,
    account: Account,
) -> Iterator[Callable[[], None]]:
    """Run the clients; what is yielded lets them end, and waits until they have."""
    ending = threading.Event()
    clients = [
        Client(number, seed, rests, platforms, orders(size.tenants), references, account, ending, size.pause)
        for number in range(1, size.clients + 1)
    ]

    def finish() -> None:
        ending.set()
        deadline = time.monotonic() + DRAIN_TIMEOUT
        for client in clients:
            client.join(max(0.0, deadline - time.monotonic()))
            if client.is_alive():
                account.found("harness", f"{client.name} has not ended {DRAIN_TIMEOUT:.0f} s after the last fault")

    for client in clients:
        client.start()
    try:
        yield finish
    finally:
        ending.set()


def _let_work(cluster: Cluster, account: Account) -> None:
    """Wait until a job that is requested from now on has completed."""
    started, deadline = time.monotonic(), time.monotonic() + DRAIN_TIMEOUT
    while account.recovery(started) is None and time.monotonic() < deadline:
        cluster.check()
        time.sleep(0.1)
