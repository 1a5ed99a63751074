"""The deliveries that a job shows, and that it does not wait for the delivery service."""

from datetime import timedelta
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.faults import Unavailable
from services.gateway.auth.links import Signer
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.clients.job_changes import JobChanges
from services.gateway.http.origin import Origin
from services.gateway.http.route import Caller
from services.gateway.routes.jobs import JobRoutes
from services.wire import exporter_pb2 as pb

JOB_ID = "7d9f4c1a-0c0e-4a5e-9f3b-2d1c0b9a8f7e"


class Exporter:
    """Has one completed job."""

    async def get(self, tenant: str, job_id: str) -> pb.Job:
        at = Timestamp(seconds=1)
        return pb.Job(
            id=job_id, tenant=tenant, format="csv", state=pb.JOB_STATE_COMPLETED, created_at=at, finished_at=at
        )


class DownDelivery:
    """A delivery service that does not answer."""

    def __init__(self) -> None:
        self.calls = 0

    async def list_deliveries_brief(self, job: Any) -> Any:
        self.calls += 1
        raise Unavailable("delivery_unavailable", "Down.")


async def test_a_delivery_service_that_is_down_is_not_called_for_every_job() -> None:
    down = DownDelivery()
    signer = Signer([b"a signing key for tests, 32 bytes."], timedelta(hours=1))
    origin = Origin("http://gateway.example")
    exporter, changes = cast(ExporterClient, Exporter()), cast(JobChanges, None)
    routes = JobRoutes(exporter, changes, signer, origin, cast(DeliveryClient, down))
    request = make_mocked_request("GET", f"/api/v1/exports/jobs/{JOB_ID}", match_info={"job_id": JOB_ID})
    for _ in range(3):
        answer = await routes.get_job(request, Caller("shop", "key"))
        assert isinstance(answer, web.Response)
        assert answer.status == 200
        assert answer.text is not None
        assert "deliveries" not in answer.text
    assert down.calls == 1
