"""The services that the tests of a module share, started when a test first asks for them."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from services.chassis import mongo
from tests.integration.delivering import Deliverer, deliverer
from tests.integration.exporting import Exporter, exporter, new_tenant, products
from tests.integration.scheduling import Scheduler, scheduler

DATABASES = ("exporter", "delivery", "scheduler")
LIVE = {"state": {"$nin": ["delivered", "failed"]}}


class ServiceSet:
    """At most one exporter, one delivery service and one scheduler, with empty databases at their start.

    Tests share them as long as they ask for the same ones, and each test uses its own tenant.
    """

    def __init__(self, mongo_uri: str, nats_url: str, folder: Path) -> None:
        self.mongo_uri = mongo_uri
        self._nats_url = nats_url
        self._folder = folder
        self._started = AsyncExitStack()
        self._delivery_started = AsyncExitStack()
        self._exporters: dict[bool, Exporter] = {}
        self._deliverer: Deliverer | None = None
        self._scheduler: Scheduler | None = None

    async def reset(self) -> None:
        """Stop all services and drop their databases."""
        await self._stop_deliverer()
        await self._started.aclose()
        self._started = AsyncExitStack()
        self._exporters, self._scheduler = {}, None
        client = mongo.connect(self.mongo_uri, app="tests")
        for name in DATABASES:
            await client.drop_database(name)
        client.close()

    async def exporter(self, *, with_worker: bool) -> Exporter:
        """An exporter that runs jobs, or one that only accepts them; never both, because they would share jobs."""
        if with_worker not in self._exporters:
            await self.reset()
            settings: dict[str, Any] = {} if with_worker else {"worker_jobs": 0}
            started = exporter(self.mongo_uri, self._nats_url, self._folder, **settings)
            self._exporters[with_worker] = await self._started.enter_async_context(started)
        return self._exporters[with_worker].for_one_test()

    async def scheduler(self, *, with_worker: bool) -> Scheduler:
        """A scheduler beside such an exporter, with a new tenant that has a small catalogue."""
        beside = await self.exporter(with_worker=with_worker)
        tenant = new_tenant()
        await beside.fill(tenant, products(10))
        if self._scheduler is None:
            started = scheduler(self.mongo_uri, self._nats_url, beside.running.rpc_port, tenant)
            self._scheduler = await self._started.enter_async_context(started)
        found = copy.copy(self._scheduler)
        found.tenant = tenant
        return found

    @asynccontextmanager
    async def deliverer(self, beside: Exporter, **settings: Any) -> AsyncIterator[Deliverer]:
        """The shared delivery service; with settings, one that is stopped when the block is left."""
        if settings:
            await self._stop_deliverer()
        if self._deliverer is None:
            started = deliverer(self.mongo_uri, self._nats_url, beside, **settings)
            self._deliverer = await self._delivery_started.enter_async_context(started)
        try:
            yield self._deliverer
        finally:
            if settings:
                await self._stop_deliverer()

    async def drop_live_deliveries(self) -> None:
        """Forget what an earlier test left undelivered, because all tests deliver to one server."""
        client = mongo.connect(self.mongo_uri, app="tests")
        deliveries = client["delivery"]["deliveries"]
        if await deliveries.find_one(LIVE):
            await self._stop_deliverer()
            await deliveries.delete_many(LIVE)
        client.close()

    async def _stop_deliverer(self) -> None:
        await self._delivery_started.aclose()
        self._delivery_started, self._deliverer = AsyncExitStack(), None
