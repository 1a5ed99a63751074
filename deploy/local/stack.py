"""The whole system as child processes: started together, supervised, and stopped in order."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.processes.children import Child, NotReady
from deploy.local.processes.supervisor import Supervisor
from deploy.local.secrets import api_key, master_keys, signing_key
from deploy.local.servers import HOST, PORT_FREE_TIMEOUT, Mongod, NatsServer, free_port, is_free
from deploy.local.servers.given import check_mongodb, check_nats
from deploy.local.services import GATEWAY, SERVICES, ServiceChild
from deploy.local.state import Claim, State, claimed

TENANT = "default"
# The local stack is for trials, so destinations on this machine and in private networks are allowed.
NEARBY = "127.0.0.0/8, ::1/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"
# The children of a supervisor that was killed release their ports a moment later.
OLD_PORT_TIMEOUT = 1.0


class Stack:
    """mongod, nats-server and the services, with data, logs and keys in one folder.

    Args:
        gateway_port: 0 chooses a free one.
        mongodb_uri, nats_url: running servers to use instead of starting new ones.
        tenant: the tenant of the API key.
        store: the folder of finished files; by default below `folder`.
        env: additional settings of the services.
        report: receives a message for each event.
    """

    def __init__(
        self,
        folder: Path,
        gateway_port: int = 0,
        *,
        mongodb_uri: str | None = None,
        nats_url: str | None = None,
        tenant: str = TENANT,
        store: Path | None = None,
        env: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.url = self.api_key = ""
        self.mongodb_uri, self.nats_url = mongodb_uri or "", nats_url or ""
        self._gateway_port = gateway_port
        self._tenant = tenant
        self._store = store or folder / artifacts_folder(mongodb_uri)
        self._env = dict(env or {})
        self._report = report
        self._supervisors: dict[str, Supervisor] = {}
        self._ports: dict[str, int] = {}
        self._held = contextlib.ExitStack()

    def start(self) -> "Stack":
        """Start everything and wait until it serves; stops everything if one child does not become ready.

        Raises:
            AlreadyRunning: another stack uses the folder.
            NotReady: a child did not become ready, or a given server cannot be used.
        """
        with contextlib.ExitStack() as held:
            claim = held.enter_context(claimed(self.folder))
            held.callback(self._stop_children)
            self._ports = dict(claim.last.ports)
            self._check_gateway_port()
            self._publish(claim)
            self._start_servers()
            self._start_services()
            self.url = f"http://{HOST}:{self._ports[GATEWAY.name]}"
            self._publish(claim)
            self._held = held.pop_all()
        return self

    def stop(self) -> None:
        """Stop the services, then nats-server, then mongod, and release the folder."""
        self._held.close()

    def child(self, name: str) -> Child:
        """A child by name: `mongod`, `nats-server` or a service."""
        return self._supervisors[name].child

    @property
    def pids(self) -> dict[str, int | None]:
        """Process ids by child name; None for a child that has ended."""
        return {name: supervisor.child.pid for name, supervisor in self._supervisors.items()}

    def check(self) -> None:
        """Restart children that have ended."""
        for supervisor in self._supervisors.values():
            supervisor.check()

    def _check_gateway_port(self) -> None:
        """Fail before the servers are started."""
        if self._gateway_port and not is_free(self._gateway_port, PORT_FREE_TIMEOUT):
            raise NotReady(f"port {self._gateway_port} on {HOST} is taken; set GATEWAY_PORT to another one")

    def _publish(self, claim: Claim) -> None:
        claim.write(State(os.getpid(), self.url, self.mongodb_uri, self.nats_url, str(self._store), self._ports))

    def _start_servers(self) -> None:
        logs = self.folder / "logs"
        servers: list[Child] = []
        if self.mongodb_uri:
            check_mongodb(self.mongodb_uri)
        else:
            mongod = Mongod(self.folder / "mongod", self._port("mongod"), logs / "mongod.log")
            self.mongodb_uri = mongod.uri
            servers.append(mongod)
        if self.nats_url:
            check_nats(self.nats_url)
        else:
            nats = NatsServer(self.folder / "nats-server", self._port("nats-server"), logs / "nats-server.log")
            self.nats_url = nats.url
            servers.append(nats)
        self._start_all(servers)

    def _start_services(self) -> None:
        ports = {service.name: self._port(service.name) for service in SERVICES if service is not GATEWAY}
        ports[GATEWAY.name] = self._ports[GATEWAY.name] = self._gateway_port or free_port()
        addresses = {s.address_variable: f"{HOST}:{ports[s.name]}" for s in SERVICES if s.address_variable}
        env = {
            "MONGODB_URI": self.mongodb_uri,
            "NATS_URL": self.nats_url,
            "ARTIFACTS_URL": self._store.as_uri(),
            "METRICS_PORT": "0",
            "GRPC_HOST": HOST,
            "GATEWAY_HOST": HOST,
            "SIGNING_KEY": signing_key(self.folder),
            "MASTER_KEYS": master_keys(self.folder),
            "EGRESS_ALLOW": NEARBY,
            **addresses,
            **self._env,
        }
        logs = self.folder / "logs"
        children = [ServiceChild(s, ports[s.name], env, logs / f"{s.name}.log") for s in SERVICES]
        self._start_all(children, lambda: api_key(self.folder / "api-key", self.mongodb_uri, self._tenant))

    def _start_all(self, children: list[Child] | list[ServiceChild], meanwhile: Callable[[], str] = str) -> None:
        """Launch all of them, then wait until each is ready."""
        for child in children:
            self._supervisors[child.name] = Supervisor(child, self._report)
            child.launch()
        self.api_key = meanwhile() or self.api_key
        for child in children:
            child.wait_ready()

    def _port(self, name: str) -> int:
        """The port that the child used last time, if it is free."""
        last = self._ports.get(name)
        self._ports[name] = last if last and is_free(last, OLD_PORT_TIMEOUT) else free_port()
        return self._ports[name]

    def _stop_children(self) -> None:
        for supervisor in reversed(self._supervisors.values()):
            supervisor.child.stop()


def artifacts_folder(mongodb_uri: str | None) -> str:
    """The name of the folder for the finished files of this MongoDB's jobs (None: the stack's own MongoDB).

    Each MongoDB has its own folder, because an exporter deletes files whose jobs its MongoDB does not know.
    """
    if not mongodb_uri:
        return "artifacts"
    return f"artifacts-{hashlib.sha256(hosts(mongodb_uri).encode()).hexdigest()[:12]}"


def hosts(mongodb_uri: str) -> str:
    """The sorted addresses of a connection string, which identify a MongoDB."""
    return ",".join(sorted(urlsplit(mongodb_uri).netloc.rpartition("@")[2].split(",")))
