"""The account: what was accepted, what came of it, and everything that should not be."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.torture.orders import Order

LOST, DUPLICATED, WRONG, STUCK, ORPHANED = "lost", "duplicated", "wrong", "stuck", "orphaned"
DEFECT = "defect"
"""An answer of 500, or a process that ended by itself."""
LATE = "late"
"""A process that did not serve again in time."""
FINDINGS = (LOST, DUPLICATED, WRONG, STUCK, ORPHANED, DEFECT, LATE)


@dataclass
class Job:
    """An accepted job.

    `platforms` are the ids of the platforms it is delivered to; `final` is what the job said when it had ended.
    """

    id: str
    tenant: str
    order: Order
    platforms: tuple[str, ...]
    key: str
    is_ambiguous: bool
    """Whether a repeated request may still be carried out; such a job is not deleted, because it might return."""
    final: Mapping[str, Any] = field(default_factory=dict)
    is_deleted: bool = False

    @property
    def object_name(self) -> str:
        """The name of its file at a destination: that of the job, with the extension of its file."""
        return f"{self.id}.{str(self.final['file_name']).rpartition('.')[2]}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that breaks a promise, with what is needed to look into it."""

    kind: str
    text: str


class Account:
    """Written by all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.jobs: dict[str, Job] = {}
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.defects: list[str] = []
        """Answers of 500, which clients repeat."""
        self._completions: list[tuple[float, float]] = []

    def count(self, what: str, number: int = 1) -> None:
        """Count something that clients did or saw."""
        with self._lock:
            self.counts[what] += number

    def found(self, kind: str, text: str) -> None:
        """Record a broken promise."""
        with self._lock:
            self.findings.append(Finding(kind, text))

    def accepted(self, job: Job) -> None:
        """Record a job; a second one with another id for the same key is a duplicate."""
        with self._lock:
            self.jobs[job.id] = job
            self.counts["jobs accepted"] += 1

    def completed(self, requested_at: float) -> None:
        """Record that a job requested at this moment has completed now."""
        with self._lock:
            self._completions.append((requested_at, time.monotonic()))

    def recovery(self, at: float) -> float | None:
        """Seconds from a moment until a job that was requested after it was complete."""
        seen = [done for requested, done in self._completions if requested >= at]
        return min(seen) - at if seen else None

    @property
    def last_completion(self) -> float:
        """The moment of the last one."""
        return max((done for _, done in self._completions), default=0.0)
