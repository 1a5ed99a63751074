"""podman's commands, as far as the cluster needs them."""

import subprocess
from collections.abc import Sequence

import yaml

from deploy.containers.manifests import Manifest

WITHIN = 120.0


class PodmanFailed(Exception):
    """A command of podman did not work; the message is podman's."""


def run(*arguments: str, text: str | None = None, within: float = WITHIN) -> str:
    """What `podman <arguments>` prints.

    Args:
        text: what it reads.
        within: seconds until it is given up.

    Raises:
        PodmanFailed: with what it said, also when there is no podman, or it did not end.
    """
    command = ["podman", *arguments]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=within)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise PodmanFailed(f"{' '.join(command[:3])}: {exc}") from exc
    if done.returncode != 0:
        raise PodmanFailed(f"{' '.join(command[:3])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def play(objects: Sequence[Manifest]) -> None:
    """Make what the manifests describe, pods on the host's network.

    Raises:
        PodmanFailed: it did not take them.
    """
    run("kube", "play", "--quiet", "--network", "host", "-", text=yaml.safe_dump_all(objects))


def stopping(container: str, grace: int) -> "subprocess.Popen[bytes]":
    """Send SIGTERM, and SIGKILL after `grace` seconds; the process returned ends when the container has."""
    return subprocess.Popen(["podman", "stop", "--time", str(grace), container], stdout=subprocess.DEVNULL)


def has_image(name: str) -> bool:
    """Whether the image is on this machine."""
    return subprocess.run(["podman", "image", "exists", name]).returncode == 0


def exit_code(container: str) -> int:
    """Of a container that has ended; 137 when it was killed."""
    return int(run("inspect", container, "--format", "{{.State.ExitCode}}"))


def logs(container: str) -> str:
    """What it wrote to standard output and error."""
    done = subprocess.run(["podman", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def remove(prefix: str) -> None:
    """Pods and volumes whose names begin so, whatever state they are in."""
    for pod in run("pod", "ps", "--format", "{{.Name}}").split():
        if pod.startswith(prefix):
            run("pod", "rm", "--force", "--time", "0", pod)
    for volume in run("volume", "ls", "--format", "{{.Name}}").split():
        if volume.startswith(prefix):
            run("volume", "rm", "--force", volume)
