"""Runs the overlay `local` with podman, in the foreground: `python -m deploy.containers`."""

import signal
import sys

from deploy.containers.cluster import GATEWAY, Cluster, NotReady
from deploy.containers.manifests import NotRendered
from deploy.containers.playable import LEFT_OUT, LEFT_OUT_OF_CONTAINERS, LEFT_OUT_OF_PODS, Unplayable
from deploy.containers.podman import PodmanFailed
from deploy.local.processes.signals import interruptible
from deploy.local.settings import LocalSettings

KEY = ("python", "-m", "services.gateway.auth.keys", "create", "--scopes", "*", "--name", "containers", "--quiet")


def up(settings: LocalSettings) -> None:
    """Start everything, print the URL and an API key, and remove everything on a signal."""
    for name, reason in {**LEFT_OUT, **LEFT_OUT_OF_PODS, **LEFT_OUT_OF_CONTAINERS}.items():
        print(f"left out: {name} ({reason})")
    with Cluster(settings.local_dir / "containers", settings.gateway_port, print) as cluster:
        key = cluster.run(GATEWAY, *KEY)
        print(f"ready at {cluster.url}, API key {key}\nCtrl-C stops it and removes its data", flush=True)
        signal.pause()


def main() -> int:
    """Return 0 after Ctrl-C, 1 if something did not start."""
    settings = LocalSettings.read()
    try:
        interruptible()
        up(settings)
    except KeyboardInterrupt:
        print("\nstopped, everything was removed")
        return 0
    except (NotReady, NotRendered, Unplayable, PodmanFailed, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
