"""Metrics of single tenants: of those with most, and one series for all others, so that their number is bounded."""

from collections.abc import Mapping
from operator import itemgetter

from prometheus_client import Gauge

from services.exporter.jobs.job import LIVE, JobState
from services.exporter.jobs.store import JobStore
from services.limits import Limits

SHOWN = 10
"""Tenants in each metric."""
OTHERS = "_other"
"""In place of all other tenants. No tenant has this name: names begin with a letter or digit."""

JOBS = Gauge("exporter_tenant_jobs", "Unfinished jobs of the tenants with most of them, by state.", ["tenant", "state"])
BYTES = Gauge(
    "exporter_tenant_artifact_bytes", "Size of the stored files of the tenants with most of them.", ["tenant"]
)
RATIO = Gauge(
    "exporter_tenant_limit_ratio",
    "Used share of a limit, of the tenants that have used most of it.",
    ["tenant", "limit"],
)

Counts = Mapping[tuple[str, JobState], int]
"""How many jobs are live, by tenant and state."""


class TenantMetrics:
    """Updates the metrics; every replica reports the same values."""

    def __init__(self, store: JobStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._ratios: dict[str, Mapping[str, float]] = {}

    def show_jobs(self, counts: Counts) -> None:
        """Show who has these live jobs."""
        live: dict[str, int] = {}
        for (tenant, _), count in counts.items():
            live[tenant] = live.get(tenant, 0) + count
        JOBS.clear()
        for state in LIVE:
            of_state = {tenant: counts.get((tenant, state), 0) for tenant in live}
            for tenant, count in grouped(of_state, by=live).items():
                JOBS.labels(tenant, state.value).set(count)
        self._show_ratios("live_jobs", {one: count / self._limits.of(one).max_live_jobs for one, count in live.items()})

    async def measure_files(self) -> None:
        """Show who has the stored files."""
        stored = await self._store.artifact_bytes_by_tenant()
        BYTES.clear()
        for tenant, size in grouped(stored, by=stored).items():
            BYTES.labels(tenant).set(size)
        limits = {tenant: self._limits.of(tenant).max_artifact_bytes for tenant in stored}
        self._show_ratios("artifact_bytes", {one: stored[one] / limit for one, limit in limits.items() if limit})

    def _show_ratios(self, limit: str, ratios: Mapping[str, float]) -> None:
        self._ratios[limit] = {tenant: ratios[tenant] for tenant in most(ratios)}
        RATIO.clear()
        for name, shown in self._ratios.items():
            for tenant, ratio in shown.items():
                RATIO.labels(tenant, name).set(ratio)


def most(values: Mapping[str, float]) -> list[str]:
    """The tenants with the largest values, at most `SHOWN`; with equal values, those that come first by name."""
    return [tenant for tenant, _ in sorted(sorted(values.items()), key=itemgetter(1), reverse=True)[:SHOWN]]


def grouped(values: Mapping[str, int], *, by: Mapping[str, int]) -> dict[str, int]:
    """The values of the tenants with most of `by`, and the sum of all others."""
    shown = {tenant: values[tenant] for tenant in most(by)}
    return {**shown, OTHERS: sum(values.values()) - sum(shown.values())}
