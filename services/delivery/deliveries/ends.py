"""Records the ends of deliveries as events of their tenants."""

from services.delivery.deliveries.delivery import Delivery, DeliveryState
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.webhooks.event import Event, EventType, event
from services.delivery.webhooks.relay import Relay

BATCH = 200
TYPES = {
    DeliveryState.DELIVERED: EventType.DELIVERY_DELIVERED,
    DeliveryState.FAILED: EventType.DELIVERY_FAILED,
}


async def record_ends(deliveries: DeliveryStore, relay: Relay) -> int:
    """Record the ends that are not recorded yet; returns of how many deliveries. To be called in a loop.

    Any number of replicas may do this concurrently: an end that is recorded twice is one event.
    """
    count = 0
    while found := await deliveries.with_ends(BATCH):
        await relay.record([one for delivery in found for one in _events(delivery)])
        await deliveries.ends_recorded(found)
        count += len(found)
        if len(found) < BATCH:
            break
    return count


def _events(delivery: Delivery) -> list[Event]:
    return [
        event(
            TYPES[end.state],
            delivery.tenant,
            delivery.id,
            end.at,
            {
                "delivery_id": delivery.id,
                "job_id": delivery.job_id,
                "platform_id": delivery.platform_id,
                "status": end.state.value,
                "size": delivery.file.size if end.state is DeliveryState.DELIVERED else None,
                "error_code": end.code or None,
            },
        )
        for end in delivery.ends
    ]
