"""A pod's grace period is longer than its process needs to shut down, according to the code and the settings."""

from collections.abc import Iterator, Sequence

from services.chassis import mongo
from services.chassis.leasing import leased_work
from tests.unit.k8s.environment_rules import settings_of
from tests.unit.k8s.manifests import Manifest, services_pods

MARGIN = 5.0
"""Seconds for the rest, such as threads and the end of the interpreter."""
NATS = 2.0
"""Seconds that `connecting` in services/chassis/jetstream.py takes at most to disconnect."""


def with_enough_grace(manifests: Sequence[Manifest]) -> Iterator[str]:
    """terminationGracePeriodSeconds covers the notice, running calls, and the time a process needs afterwards."""
    for pod, container, service in services_pods(manifests):
        settings = settings_of(container, manifests, service)
        needed = settings.shutdown_notice + settings.shutdown_grace + shutdown_seconds(service, settings) + MARGIN
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if grace < needed:
            yield f"{pod.name} is killed after {grace} s, but needs {needed:g}"
        probe = container["readinessProbe"]
        if settings.shutdown_notice < probe["periodSeconds"]:
            yield f"{pod.name} refuses calls before its probe can fail"


def shutdown_seconds(service: str, settings: object) -> float:
    """Seconds that a process takes at most after its calls have ended."""
    if service == "exporter":
        jobs = leased_work.SHUTDOWN_SECONDS if getattr(settings, "worker_jobs", 0) else 0.0
        # Wake-ups that are being sent wait for an election, and then for the confirmation of their message.
        return max(jobs, mongo.SELECTION_MS / 1_000 + NATS) + NATS
    if service == "delivery":
        return leased_work.SHUTDOWN_SECONDS + NATS
    return NATS if service == "scheduler" else 0.0


RULES = (with_enough_grace,)
