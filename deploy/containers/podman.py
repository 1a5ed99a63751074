"""The podman commands that the cluster needs."""

import subprocess
from collections.abc import Sequence

import yaml

from deploy.containers.manifests import Manifest

TIMEOUT = 120.0


class PodmanFailed(Exception):
    """A podman command failed; the message is podman's."""


def run(*arguments: str, text: str | None = None, timeout: float = TIMEOUT) -> str:
    """Run `podman <arguments>` and return its output.

    Args:
        text: its standard input.
        timeout: in seconds.

    Raises:
        PodmanFailed: with its error output, also if podman is missing or the command times out.
    """
    command = ["podman", *arguments]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise PodmanFailed(f"{' '.join(command[:3])}: {exc}") from exc
    if done.returncode != 0:
        raise PodmanFailed(f"{' '.join(command[:3])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def play(objects: Sequence[Manifest]) -> None:
    """Create the objects, with pods on the host's network.

    Raises:
        PodmanFailed: podman rejected them.
    """
    run("kube", "play", "--quiet", "--network", "host", "-", text=yaml.safe_dump_all(objects))


def stopping(container: str, grace: int) -> "subprocess.Popen[bytes]":
    """Send SIGTERM, and SIGKILL after `grace` seconds. The returned process ends when the container has ended."""
    return subprocess.Popen(["podman", "stop", "--time", str(grace), container], stdout=subprocess.DEVNULL)


def has_image(name: str) -> bool:
    """Whether the image is on this machine."""
    return subprocess.run(["podman", "image", "exists", name]).returncode == 0


def exit_code(container: str) -> int:
    """Exit code of a container that has ended; 137 if it was killed."""
    return int(run("inspect", container, "--format", "{{.State.ExitCode}}"))


def logs(container: str) -> str:
    """What a container wrote to standard output and standard error."""
    done = subprocess.run(["podman", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def remove(prefix: str) -> None:
    """Remove the pods and volumes whose names start with `prefix`, in any state."""
    for pod in run("pod", "ps", "--format", "{{.Name}}").split():
        if pod.startswith(prefix):
            run("pod", "rm", "--force", "--time", "0", pod)
    for volume in run("volume", "ls", "--format", "{{.Name}}").split():
        if volume.startswith(prefix):
            run("volume", "rm", "--force", volume)
