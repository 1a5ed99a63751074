"""The stack under torture: two of each service, three mongods, a NATS server, three destinations, and proxies between.

Services reach MongoDB, NATS, each other and the destinations through one proxy for each server, and so do the members
of the replica set.
"""

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import asyncssh

from deploy.local.demo.products.catalogue import made
from deploy.local.demo.products.filling import fill
from deploy.local.processes.children import Child, NotReady
from deploy.local.processes.signals import raise_if_stopped
from deploy.local.secrets import api_key, master_keys, signing_key
from deploy.local.servers import HOST, free_port
from deploy.local.servers.mongod import REPLICA_SET
from deploy.local.services import GATEWAY, SERVICES
from tests.tcp_proxy import TcpProxy
from tests.torture.disk import Disk
from tests.torture.plan import RECEIVERS, numbered
from tests.torture.processes import (
    FAKETIME,
    Member,
    Nats,
    Receiver,
    ServiceProcess,
    Tortured,
    Weed,
    initiate,
    module,
)

LEASE = 5.0
"""Seconds. Shorter than in production, so that faults longer than a lease are frequent; the rules are the same."""
PACE = {
    "JOB_LEASE_SECONDS": str(LEASE),
    "DELIVERY_LEASE_SECONDS": str(LEASE),
    "DISPATCH_SECONDS": "6",
    "JOB_RETRY_SECONDS": "0.5",
    "DELIVERY_RETRY_SECONDS": "0.5",
    "RUN_RETRY_SECONDS": "0.5",
    "MAX_RETRY_SECONDS": "5",
    "JOB_MAX_ATTEMPTS": "100",
    "DELIVERY_MAX_ATTEMPTS": "100",
    "RECONCILE_SECONDS": "5",
    "SWEEP_SECONDS": "5",
    "FOLLOW_SECONDS": "5",
    "WORKER_JOBS": "2",
    "RATE_LIMIT": "1000000",
    "EGRESS_ALLOW": "127.0.0.0/8",
}
START_TIMEOUT = 300.0
COULD_NOT_START = '"event": "cannot_start"'


class Cluster:
    """Everything that runs, with data, logs and keys in one folder.

    Everything is launched by the thread that uses it: the kernel kills what a thread launched when the thread ends.

    Args:
        replicas: processes of each service.
        mongods: members of the replica set.
        report: receives a message for each process that ended by itself.
    """

    def __init__(self, folder: Path, replicas: int, mongods: int, report: Callable[[str], None]) -> None:
        self.folder = folder
        self.disk = Disk(folder / "artifacts", folder / "artifacts.img")
        self.processes: dict[str, Tortured] = {}
        self.proxies: dict[str, TcpProxy] = {}
        self.gateways: list[str] = []
        self.crashes: list[str] = []
        """Processes that ended by themselves, with the end of their logs."""
        self.failed_starts = 0
        self.down: set[str] = set()
        """Processes that a fault has ended and will start again."""
        self.ports: dict[str, int] = {}
        self.mongodb_uri = ""
        self._logs = folder / "logs"
        self._replicas = replicas
        self._members = numbered("mongod", mongods)
        self._report = report
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "Cluster":
        with contextlib.ExitStack() as held:
            self.disk.mount()
            held.callback(self.disk.unmount)
            held.callback(self._stop_processes)
            self._start_servers(held)
            self._start_services(held)
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def members(self) -> list[Member]:
        """The members of the replica set."""
        return [process for process in self.processes.values() if isinstance(process, Member)]

    @property
    def primary(self) -> Member | None:
        """The primary, if there is one."""
        return next((member for member in self.members if member.is_primary), None)

    @property
    def has_faketime(self) -> bool:
        """Whether clocks can be set wrong here."""
        return FAKETIME is not None

    def member(self, name: str) -> Member:
        """A member of the replica set by name."""
        return next(member for member in self.members if member.name == name)

    def lose_streams(self) -> None:
        """Delete the store of the NATS server, which does not run."""
        shutil.rmtree(self.folder / "nats-server" / "store", ignore_errors=True)

    def heal(self) -> None:
        """End every fault that may be left, such as a lock that a busy mongod took after it was released."""
        for proxy in self.proxies.values():
            proxy.heal()
        for process in self.processes.values():
            process.send(signal.SIGCONT)
        _wait("no member is locked", lambda: all(member.unlock() for member in self.members))

    def check(self) -> None:
        """Start again what ended by itself."""
        for name, process in self.processes.items():
            process.trim_log()
            if process.pid is None and name not in self.down:
                self._ended(process)
                self.launch(name)

    def _ended(self, process: Tortured) -> None:
        """A service that finds no database when it starts ends and is started again, as by every supervisor."""
        end = process.tail()
        self._report(f"{process.name} {process.exit_status}:\n{end}")
        if COULD_NOT_START in end:
            self.failed_starts += 1
        else:
            self.crashes.append(f"{process.name} {process.exit_status}:\n{end}")

    def launch(self, name: str) -> None:
        """Launch a process; if its port is still taken, `check` tries again."""
        self.down.discard(name)
        with contextlib.suppress(NotReady):
            self.processes[name].launch()

    def is_ready(self, name: str) -> bool:
        """Whether the process runs and serves."""
        return self.processes[name].pid is not None and self.processes[name].is_ready()

    def key(self, tenant: str) -> str:
        """A new API key of the tenant."""
        return api_key(self.folder / f"api-key-{tenant}", self.mongodb_uri, tenant)

    def fill(self, tenant: str, products: int, suppliers: int) -> None:
        """Load the demo catalogue of this size."""
        fill(self.mongodb_uri, tenant, made(products, suppliers))

    def _proxy(self, held: contextlib.ExitStack, name: str, port: int) -> int:
        """The port of a new proxy in front of a server."""
        self.proxies[name] = held.enter_context(TcpProxy(HOST, port))
        return self.proxies[name].port

    def _start_servers(self, held: contextlib.ExitStack) -> None:
        addresses = []
        for number, name in enumerate(self._members, 1):
            port = free_port()
            addresses.append(f"{HOST}:{self._proxy(held, name, port)}")
            self.processes[name] = Member(number, self.folder / name, port, addresses[-1], self._logs)
        self.mongodb_uri = f"mongodb://{','.join(addresses)}/?replicaSet={REPLICA_SET}"
        nats = Nats(self.folder / "nats-server", free_port(), self._logs / "nats-server.log")
        self.processes["nats-server"] = nats
        self.ports["nats-server"] = self._proxy(held, "nats-server", nats.port)
        for name in RECEIVERS:
            receiver = self._receiver(name)
            self.processes[name] = receiver
            self.ports[name] = self._proxy(held, name, receiver.port)
        self._start(list(self.processes.values()))
        initiate(self.members)
        _wait("the replica set has a primary", lambda: self.primary is not None)
        _wait("all members are ready", lambda: all(self.is_ready(name) for name in self._members))

    def _receiver(self, name: str) -> Receiver | Weed:
        """The server of a destination."""
        root, port = self.folder / name, free_port()
        root.mkdir()
        if name == "s3":
            return Weed(root, port, self._logs / "s3.log")
        command = module(f"tests.torture.receivers.{name}", root, port)
        if name == "sftp":
            host_key = self.folder / "sftp-host-key"
            asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(host_key))
            command.append(host_key)
        return Receiver(name, command, port, self._logs)

    def _start_services(self, held: contextlib.ExitStack) -> None:
        ports: dict[str, list[int]] = {service.name: [] for service in SERVICES}
        addresses: dict[str, str] = {}
        for service in SERVICES:
            ports[service.name] = [free_port() for _ in range(self._replicas)]
            if service.address_variable:
                proxied = [
                    self._proxy(held, f"{service.name}-{number}", port)
                    for number, port in enumerate(ports[service.name], 1)
                ]
                addresses[service.address_variable] = "ipv4:///" + ",".join(f"{HOST}:{port}" for port in proxied)
        env = self._environment(addresses)
        started: list[Tortured] = []
        for service in SERVICES:
            for number, port in enumerate(ports[service.name], 1):
                process = ServiceProcess(service, number, port, env, self._logs)
                self.processes[process.name] = process
                started.append(process)
        self.gateways = [f"http://{HOST}:{port}" for port in ports[GATEWAY.name]]
        self._start(started)

    def _environment(self, addresses: Mapping[str, str]) -> dict[str, str]:
        return {
            "MONGODB_URI": self.mongodb_uri,
            "NATS_URL": f"nats://{HOST}:{self.ports['nats-server']}",
            "ARTIFACTS_URL": self.disk.folder.as_uri(),
            "METRICS_PORT": "0",
            "GRPC_HOST": HOST,
            "GATEWAY_HOST": HOST,
            "SIGNING_KEY": signing_key(self.folder),
            "MASTER_KEYS": master_keys(self.folder),
            **addresses,
            **PACE,
        }

    def _start(self, processes: Sequence[Child]) -> None:
        for process in processes:
            process.launch()
        for process in processes:
            _wait(f"{process.name} is ready; its log is {process.log}", process.is_ready)

    def _stop_processes(self) -> None:
        """All at once: this stack is not needed any more."""
        for process in self.processes.values():
            process.kill()


def _wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not holds():
        raise_if_stopped()
        if time.monotonic() > deadline:
            raise NotReady(f"not within {START_TIMEOUT:.0f} s: {what}")
        time.sleep(0.05)
