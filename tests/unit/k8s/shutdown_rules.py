"""A pod's grace is longer than what its process needs to leave in order, summed up from the code and the settings."""

from collections.abc import Iterator, Sequence

from services.chassis import mongo
from services.chassis.leasing import leased_work
from tests.unit.k8s.environment_rules import told
from tests.unit.k8s.manifests import Manifest, services_pods

MARGIN = 5.0
"""Seconds for what nobody counts: threads, the interpreter."""
NATS = 2.0
"""Of services/chassis/jetstream.py, `connecting`."""


def longer_than_the_drain(manifests: Sequence[Manifest]) -> Iterator[str]:
    """terminationGracePeriodSeconds against notice, calls under way, and the longest goodbye."""
    for pod, container, service in services_pods(manifests):
        settings = told(container, manifests, service)
        needed = settings.shutdown_notice + settings.shutdown_grace + goodbye(service, settings) + MARGIN
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if grace < needed:
            yield f"{pod.name} is killed after {grace} s and needs {needed:g}"
        probe = container["readinessProbe"]
        if settings.shutdown_notice < probe["periodSeconds"]:
            yield f"{pod.name} refuses calls before its probe can have seen it go"


def goodbye(service: str, settings: object) -> float:
    """Seconds a process has after its calls have ended."""
    if service == "exporter":
        jobs = leased_work.SHUTDOWN_SECONDS if getattr(settings, "worker_jobs", 0) else 0.0
        # Wake-ups on their way wait out an election, then for the confirmation of a message.
        return max(jobs, mongo.SELECTION_MS / 1_000 + NATS) + NATS
    if service == "delivery":
        return leased_work.SHUTDOWN_SECONDS + NATS
    return NATS if service == "scheduler" else 0.0


RULES = (longer_than_the_drain,)
