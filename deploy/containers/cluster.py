"""The cluster that podman has none of: starts the overlay's pods, and replaces one as a rolling update does."""

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

# Two pods of one workload stand side by side for a moment: same ports, another address of this machine.
ADDRESSES = ("127.0.0.2", "127.0.0.3")
READY_WITHIN = 120.0
# Pods that go are still found for a moment: so long the news takes to every node of a cluster.
NEWS_SECONDS = 1.0
GATEWAY = "gateway"
GATEWAY_PORT = 8080
# For servers whose images cannot be pulled; `make stand-ins` builds them, and who has built one wants it.
STAND_INS: Mapping[str, str] = {
    "mongodb": "localhost/catalog-exports/stand-in-mongodb:dev",
    "nats": "localhost/catalog-exports/stand-in-nats:dev",
}


class NotReady(Exception):
    """A pod did not become ready; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that was started, the so many-th of its workload."""

    workload: Workload
    number: int

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.workload.name}-{self.number}"

    @property
    def container(self) -> str:
        """podman's name of its one container."""
        return f"{self.name}-{self.workload.container['name']}"

    @property
    def address(self) -> str:
        """Where it listens."""
        return ADDRESSES[(self.number - 1) % len(ADDRESSES)]


@dataclass(frozen=True, slots=True)
class Replaced:
    """How a pod went: seconds from SIGTERM to its end, its exit code (137 when it had to be killed), its whole log."""

    seconds: float
    exit_code: int
    log: str


class Cluster:
    """One on a machine, since its ports are those of the manifests.

    Args:
        folder: for the file of names, and for the pods' logs once they are gone.
        port: of 127.0.0.1, where the gateway's Service listens.
        tell: is told what happens, a sentence at a time.
    """

    def __init__(self, folder: Path, port: int = GATEWAY_PORT, tell: Callable[[str], None] = lambda _: None) -> None:
        self._overlay = playable(rendered())
        self._folder = folder.absolute()
        self._names = Names(self._folder / "hosts")
        self._front = Front(port, GATEWAY_PORT)
        self._tell = tell
        self._pods: dict[str, Pod] = {}
        self.url = f"http://127.0.0.1:{port}"

    @property
    def mongodb_uri(self) -> str:
        """For a client on this machine; the set's own name of its member is known to pods only."""
        return f"mongodb://{self.address('mongodb')}:27017/?directConnection=true"

    def address(self, workload: str) -> str:
        """Where its pod listens."""
        return self._pods[workload].address

    def start(self) -> "Cluster":
        """Start all and wait until all are ready; what was started is removed again when one does not get there.

        Raises:
            NotReady, PodmanFailed, OSError: says which, and why.
        """
        podman.remove(PREFIX)  # of one that was killed
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
        """Remove all pods and their data; their logs are kept."""
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
        """What a command prints that runs in a pod of the workload."""
        return podman.run("exec", self._pods[workload].container, *command)

    def log(self, workload: str) -> str:
        """What its pod has logged."""
        return podman.logs(self._pods[workload].container)

    def replace(self, workload: str) -> Replaced:
        """A rolling update with maxSurge 1 and maxUnavailable 0: the new pod is ready before the old one gets SIGTERM.

        The old one is found by others for a second more, as in a cluster, where the news takes its time.

        Raises:
            NotReady: the new pod did not become ready; the old one stays.
        """
        old = self._pods[workload]
        new = Pod(old.workload, old.number + 1)
        self._tell(f"replacing {old.name} by {new.name}")
        self._play(new)
        self._wait(new)
        self._pods[workload] = new
        self._publish(old)
        started = time.monotonic()
        stopping = podman.stopping(old.container, old.workload.grace)
        time.sleep(NEWS_SECONDS)
        self._publish()
        stopping.wait(old.workload.grace + podman.WITHIN)
        replaced = Replaced(time.monotonic() - started, podman.exit_code(old.container), podman.logs(old.container))
        podman.run("pod", "rm", "--force", old.name)
        return replaced

    def _play(self, started: Pod) -> None:
        stand_in = STAND_INS.get(started.workload.name)
        images = {started.workload.container["image"]: stand_in} if stand_in and podman.has_image(stand_in) else {}
        made = pod(started.workload, started.name, started.address, str(self._names.file), images)
        podman.play([*self._overlay.settings, made])

    def _wait(self, started: Pod) -> None:
        """Until it is ready, or has done its work."""
        if started.workload.is_job:
            self._wait_for_end(started)
            return
        deadline = time.monotonic() + READY_WITHIN
        while not probes.is_ready(started.workload.container, started.address):
            if time.monotonic() > deadline:
                raise NotReady(f"{started.name} is not ready after {READY_WITHIN:.0f} s:\n{_tail(started)}")
            time.sleep(0.1)
        self._tell(f"{started.name} is ready")

    def _wait_for_end(self, started: Pod) -> None:
        with contextlib.suppress(podman.PodmanFailed):  # not within the time
            if podman.run("wait", started.container) == "0":
                self._tell(f"{started.name} is done")
                return
        raise NotReady(f"{started.name} did not do its work:\n{_tail(started)}")

    def _publish(self, *going: Pod) -> None:
        """Tell everybody where the pods are, those that are going too."""
        found = [*self._pods.values(), *going]
        addresses = {name: [each.address for each in found if each.workload.name == name] for name in self._pods}
        self._names.write(addresses)
        self._front.send_to(addresses[GATEWAY])


def _tail(started: Pod) -> str:
    return podman.logs(started.container)[-3000:]
