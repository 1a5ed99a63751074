"""Counts what goes wrong with connections to MongoDB, which drivers mend by themselves and nobody would hear of."""

from prometheus_client import Counter
from pymongo.monitoring import ConnectionCheckOutFailedEvent, ConnectionPoolListener, PoolClearedEvent

from services.chassis import series

CHECKOUT_FAILURES = Counter(
    "mongodb_checkout_failures_total", "Connections to MongoDB that could not be had, by reason.", ["reason"]
)
CLEARED = Counter("mongodb_pools_cleared_total", "Pools whose connections were thrown away after one had failed.")

series.begin(CHECKOUT_FAILURES, "timeout", "poolClosed", "connectionError")


class PoolWatch(ConnectionPoolListener):
    """To be given to each client."""

    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None:
        """A call had no connection in time."""
        CHECKOUT_FAILURES.labels(event.reason).inc()

    def pool_cleared(self, event: PoolClearedEvent) -> None:  # noqa: ARG002  the driver's signature
        """A connection failed, so none of that server is trusted any more."""
        CLEARED.inc()

    def _expected(self, event: object) -> None:
        """What happens all the time."""

    pool_created = pool_ready = pool_closed = _expected
    connection_created = connection_ready = connection_closed = _expected
    connection_check_out_started = connection_checked_out = connection_checked_in = _expected
