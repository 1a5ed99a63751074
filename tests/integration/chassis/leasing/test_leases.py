"""Leased work against the stores of jobs and deliveries on a real MongoDB."""

import uuid

import pytest

from services.chassis.leasing.leases import Claim
from services.chassis.mongo import Database
from services.delivery.deliveries.delivery import DeliveryState, Receipt
from services.delivery.deliveries.delivery import Progress as DeliveryProgress
from services.delivery.deliveries.outcomes import claim_of as claim_of_delivery
from services.delivery.deliveries.store import DeliveryStore
from services.delivery.deliveries.store import Lease as DeliveryLease
from services.exporter.export.attempt import Progress as JobProgress
from services.exporter.export.outcomes import claim_of as claim_of_job
from services.exporter.jobs.job import Artifact, FinishedFile, JobState, NewJob
from services.exporter.jobs.store import JobStore
from services.exporter.jobs.store import Lease as JobLease
from tests.integration.delivery.test_store import new
from tests.lease_contract import Bench, LeasedWorkContract, Stored, error_code

JOB_STATES = {
    JobState.ACCEPTED: "due",
    JobState.RUNNING: "running",
    JobState.RETRY_WAIT: "waiting",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
}
DELIVERY_STATES = {
    DeliveryState.PENDING: "due",
    DeliveryState.SENDING: "running",
    DeliveryState.RETRY_WAIT: "waiting",
    DeliveryState.DELIVERED: "completed",
    DeliveryState.FAILED: "failed",
}


class JobBench:
    """A job."""

    result = FinishedFile(Artifact("key", "shop.csv", "text/csv", 7, "0"), {"products": 1}, (), 60.0)

    def __init__(self, database: Database) -> None:
        self.store = JobStore(database)
        self.progress = JobProgress()
        self._jobs = database["jobs"]
        self._id = str(uuid.uuid4())
        self._tenant = f"tenant-{self._id}"

    async def claim(self, max_attempts: int = 3) -> Claim[JobLease]:
        await self.store.accept(NewJob(self._id, self._tenant, "csv", "{}", "hash", max_attempts=max_attempts))
        lease = await self.store.claim(self._tenant, "this process", 60.0)
        assert lease is not None
        return claim_of_job(lease)

    async def claim_elsewhere(self) -> None:
        await self._jobs.update_one({"_id": self._id}, {"$inc": {"fence": 1}})

    async def stored(self) -> Stored:
        job = await self.store.get(self._tenant, self._id)
        assert job is not None
        return Stored(JOB_STATES[job.state], job.attempt, error_code(job.error))


class DeliveryBench:
    """A delivery."""

    result = Receipt("shop.csv", "", 7, "0", {}, 0.1, was_there=False)

    def __init__(self, database: Database) -> None:
        self.store = DeliveryStore(database)
        self.progress = DeliveryProgress()
        self._deliveries = database["deliveries"]

    async def claim(self, max_attempts: int = 3) -> Claim[DeliveryLease]:
        await self.store.add(new(max_attempts=max_attempts))
        lease = await self.store.claim("acme", "this process", 60.0)
        assert lease is not None
        return claim_of_delivery(lease)

    async def claim_elsewhere(self) -> None:
        await self._deliveries.update_one({}, {"$inc": {"fence": 1}})

    async def stored(self) -> Stored:
        delivery = await self.store.get("acme", new().ids[0])
        assert delivery is not None
        return Stored(DELIVERY_STATES[delivery.state], delivery.attempt, error_code(delivery.error))


@pytest.fixture(params=[JobBench, DeliveryBench])
def bench(request: pytest.FixtureRequest, database: Database) -> Bench:
    made: Bench = request.param(database)
    return made


class TestInMongo(LeasedWorkContract):
    """The contract with the stores of both services."""
