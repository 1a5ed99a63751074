"""A cluster made of podman pods: starts the overlay's pods, and replaces them as a rolling update does."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.containers import podman, probes
from deploy.containers.front import Front
from deploy.containers.manifests import rendered
from deploy.containers.names import Names
from deploy.containers.playable import PREFIX, Workload, playable, pod

# During an update two pods of a workload run side by side: same ports, different addresses of this machine.
ADDRESSES = ("127.0.0.2", "127.0.0.3")
READY_TIMEOUT = 120.0
# A stopping pod keeps its name this long, as in a cluster, where the news takes time to reach every node.
PROPAGATION_SECONDS = 1.0
GATEWAY = "gateway"
GATEWAY_PORT = 8080
# Replaces images that cannot be pulled. `make stand-ins` builds them; if they exist, they are used.
STAND_INS: Mapping[str, str] = {
    "mongodb": "localhost/catalog-exports/stand-in-mongodb:dev",
    "nats": "localhost/catalog-exports/stand-in-nats:dev",
}


class NotReady(Exception):
    """A pod did not become ready; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A started pod; `number` counts the pods of its workload from 1."""

    workload: Workload
    number: int

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.workload.name}-{self.number}"

    @property
    def container(self) -> str:
        """podman's name for its only container."""
        return f"{self.name}-{self.workload.container['name']}"

    @property
    def address(self) -> str:
        """The address it listens on."""
        return ADDRESSES[(self.number - 1) % len(ADDRESSES)]


@dataclass(frozen=True, slots=True)
class Replaced:
    """How a pod stopped: seconds from SIGTERM to exit, exit code (137 if it was killed), and its whole log."""

    seconds: float
    exit_code: int
    log: str


class Cluster:
    """Only one can run on a machine, because it uses the ports of the manifests.

    Args:
        folder: for the hosts file and for the logs of removed pods.
        port: port on 127.0.0.1 for the gateway's Service.
        report: called with a message for each step.
    """

    def __init__(self, folder: Path, port: int = GATEWAY_PORT, report: Callable[[str], None] = lambda _: None) -> None:
        self._overlay = playable(rendered())
        self._folder = folder.absolute()
        self._names = Names(self._folder / "hosts")
        self._front = Front(port, GATEWAY_PORT)
        self._report = report
        self._pods: dict[str, Pod] = {}
        self.url = f"http://127.0.0.1:{port}"

    @property
    def mongodb_uri(self) -> str:
        """For clients on this machine; only pods can resolve the member's name in the replica set."""
        return f"mongodb://{self.address('mongodb')}:27017/?directConnection=true"

    def address(self, workload: str) -> str:
        """The address of the workload's pod."""
        return self._pods[workload].address

    def start(self) -> "Cluster":
        """Start all pods and wait until they are ready. If one is not, remove all of them again.

        Raises:
            NotReady, PodmanFailed, OSError: with the pod and the reason.
        """
        podman.remove(PREFIX)  # left over if the last run was killed
        try:
            self._front.start()
            podman.play(self._overlay.volumes)
            for workload in self._overlay.workloads.values():
                self._pods[workload.name] = Pod(workload, 1)
            self._publish()
            for started in self._pods.values():
                self._play(started)
            for started in self._pods.values():
                self._wait(started)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Remove all pods and their data, and keep their logs."""
        self._front.stop()
        for name, last in self._pods.items():
            (self._folder / f"{name}.log").write_text(podman.logs(last.container))
        self._names.close()
        podman.remove(PREFIX)

    def __enter__(self) -> "Cluster":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, workload: str, *command: str) -> str:
        """Run a command in the workload's pod and return its output."""
        return podman.run("exec", self._pods[workload].container, *command)

    def log(self, workload: str) -> str:
        """The log of the workload's pod."""
        return podman.logs(self._pods[workload].container)

    def replace(self, workload: str) -> Replaced:
        """A rolling update with maxSurge 1 and maxUnavailable 0: the new pod is ready before the old one gets SIGTERM.

        Other pods can resolve the old one for another second, as in a cluster.

        Raises:
            NotReady: the new pod did not become ready; the old one stays.
        """
        old = self._pods[workload]
        new = Pod(old.workload, old.number + 1)
        self._report(f"replacing {old.name} with {new.name}")
        self._play(new)
        self._wait(new)
        self._pods[workload] = new
        self._publish(old)
        started = time.monotonic()
        stopping = podman.stopping(old.container, old.workload.grace)
        time.sleep(PROPAGATION_SECONDS)
        self._publish()
        stopping.wait(old.workload.grace + podman.TIMEOUT)
        replaced = Replaced(time.monotonic() - started, podman.exit_code(old.container), podman.logs(old.container))
        podman.run("pod", "rm", "--force", old.name)
        return replaced

    def _play(self, started: Pod) -> None:
        stand_in = STAND_INS.get(started.workload.name)
        images = {started.workload.container["image"]: stand_in} if stand_in and podman.has_image(stand_in) else {}
        made = pod(started.workload, started.name, started.address, str(self._names.file), images)
        podman.play([*self._overlay.settings, made])

    def _wait(self, started: Pod) -> None:
        """Wait until the pod is ready or, for a Job, has succeeded."""
        if started.workload.is_job:
            self._wait_for_end(started)
            return
        deadline = time.monotonic() + READY_TIMEOUT
        while not probes.is_ready(started.workload.container, started.address):
            if time.monotonic() > deadline:
                raise NotReady(f"{started.name} is not ready after {READY_TIMEOUT:.0f} s:\n{_tail(started)}")
            time.sleep(0.1)
        self._report(f"{started.name} is ready")

    def _wait_for_end(self, started: Pod) -> None:
        with contextlib.suppress(podman.PodmanFailed):  # timed out
            if podman.run("wait", started.container) == "0":
                self._report(f"{started.name} is done")
                return
        raise NotReady(f"{started.name} did not succeed:\n{_tail(started)}")

    def _publish(self, *stopping: Pod) -> None:
        """Publish the addresses of all pods, including those that are stopping."""
        found = [*self._pods.values(), *stopping]
        addresses = {name: [each.address for each in found if each.workload.name == name] for name in self._pods}
        self._names.write(addresses)
        self._front.send_to(addresses[GATEWAY])


def _tail(started: Pod) -> str:
    return podman.logs(started.container)[-3000:]
