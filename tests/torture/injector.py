"""Causes the faults of a plan, one after the other and several at a time, and ends each of them."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.local.processes.signals import raise_if_stopped
from tests.torture.cluster import Cluster
from tests.torture.plan import Fault

MAX_AT_ONCE = 4
LOOK_AHEAD = 12
"""Faults that are due and may overtake one whose target is not free."""
READY_TIMEOUT = 300.0
"""Seconds until a process serves again; longer is a finding."""
STEP_DOWN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Caused:
    """A fault that was caused, at this moment (`time.monotonic`)."""

    fault: Fault
    at: float


class Injector:
    """Runs in the main thread, which is the one that launches processes.

    A fault begins at its planned time, or later if its target has not recovered from an earlier one. So all faults are
    those of the plan, and only their moments differ from run to run.
    """

    def __init__(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._report = report
        self._active: dict[str, tuple[Fault, float, bool]] = {}
        """By resource: the fault, when its next step is due, and whether it has ended and the target recovers."""
        self.caused: list[Caused] = []
        self.skipped: list[Fault] = []
        self.late: list[str] = []
        """Processes that were not ready in time after their fault."""

    def run(self, plan: Sequence[Fault]) -> None:
        """Cause all faults, and wait until all targets have recovered."""
        start, waiting = time.monotonic(), list(plan)
        while waiting or self._active:
            raise_if_stopped()
            self._cluster.check()
            for resource in list(self._active):
                self._step(resource)
            due = [fault for fault in waiting[:LOOK_AHEAD] if time.monotonic() - start >= fault.at]
            if (fault := next(filter(self._is_free, due), None)) is not None:
                waiting.remove(fault)
                self._cause(fault)
            time.sleep(0.02)
        self._cluster.heal()

    def _cause(self, fault: Fault) -> None:
        if not self._possible(fault):
            self.skipped.append(fault)
            return
        self.caused.append(Caused(fault, time.monotonic()))
        self._report(f"fault {fault.number}: {fault.kind}, {fault.target}, {fault.seconds:.1f} s")
        self._begin(fault)
        self._active[_resource(fault)] = (fault, time.monotonic() + fault.seconds, False)

    def _is_free(self, fault: Fault) -> bool:
        return len(self._active) < MAX_AT_ONCE and _resource(fault) not in self._active

    def _possible(self, fault: Fault) -> bool:
        if "clock" in fault.kind:
            return self._cluster.has_faketime
        return not fault.kind.startswith("artifact disk") or self._cluster.disk.is_real

    def _step(self, resource: str) -> None:
        fault, due, has_ended = self._active[resource]
        if not has_ended:
            if time.monotonic() >= due:
                self._end(fault)
                self._active[resource] = (fault, time.monotonic() + READY_TIMEOUT, True)
        elif self._has_recovered(fault):
            del self._active[resource]
        elif time.monotonic() > due:
            self.late.append(
                f"fault {fault.number} ({fault.kind}): {fault.target} is not ready {READY_TIMEOUT:.0f} s later"
            )
            del self._active[resource]

    def _begin(self, fault: Fault) -> None:
        cluster, kind, name = self._cluster, fault.kind, fault.target
        if kind.startswith(("kill", "wrong clock", "nats-server loses")):
            process = cluster.processes[name]
            cluster.down.add(name)
            process.kill()
            process.clock = fault.amount
            if "loses" in kind:
                cluster.lose_streams()
        elif kind.startswith("SIGSTOP"):
            cluster.processes[name].send(signal.SIGSTOP)
        elif kind.startswith("step-down"):
            if (primary := cluster.primary) is not None:
                primary.command("replSetStepDown", STEP_DOWN_SECONDS, secondaryCatchUpPeriodSecs=2)
        elif kind.startswith("stalled disk"):
            cluster.member(name).command("fsync", lock=True)
        elif kind == "connections cut":
            cluster.proxies[name].cut_after(1)
            cluster.proxies[name].cut_after(1, "down")
        elif kind == "connections stalled":
            cluster.proxies[name].stall_after(0)
        elif kind == "artifact disk full":
            cluster.disk.fill()
        elif kind == "artifact disk stalled":
            cluster.disk.stall(fault.seconds)

    def _end(self, fault: Fault) -> None:
        cluster, kind, name = self._cluster, fault.kind, fault.target
        if name in cluster.down:
            cluster.launch(name)
        elif kind.startswith("SIGSTOP"):
            cluster.processes[name].send(signal.SIGCONT)
        elif kind.startswith("stalled disk"):
            cluster.member(name).unlock()
        elif kind == "connections stalled":
            cluster.proxies[name].heal()
        elif kind == "artifact disk full":
            cluster.disk.empty()

    def _has_recovered(self, fault: Fault) -> bool:
        if fault.kind.startswith("stalled disk") and not self._cluster.member(fault.target).unlock():
            return False
        if fault.target in self._cluster.processes:
            return self._cluster.is_ready(fault.target)
        if fault.kind.startswith("step-down"):
            return self._cluster.primary is not None
        return fault.kind != "artifact disk stalled" or not self._cluster.disk.is_stalled


def _resource(fault: Fault) -> str:
    """What one fault at a time may affect. A majority of the replica set always remains."""
    return "mongodb" if fault.target.startswith(("mongod", "primary")) else fault.target
