"""The OpenAPI document outlives the services that it is made of."""

import json
from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from services.chassis.faults import Unavailable
from services.gateway.clients.delivery import DeliveryClient
from services.gateway.clients.exporter import ExporterClient
from services.gateway.http.openapi import About
from services.gateway.routes import system
from services.gateway.routes.system import SystemRoutes
from services.wire import delivery_pb2, exporter_pb2


class Exporter:
    """Describes these formats, one more with each call, or is down."""

    def __init__(self) -> None:
        self.names = ["csv"]
        self.is_down = False

    async def formats(self) -> Sequence[exporter_pb2.FormatDescription]:
        if self.is_down:
            raise Unavailable("exporter_unavailable", "Down.")
        schema = json.dumps({"type": "object", "properties": {}})
        return [
            exporter_pb2.FormatDescription(name=name, media_types=["text/csv"], options_schema_json=schema)
            for name in self.names
        ]


class Delivery:
    async def platform_types(self) -> Sequence[delivery_pb2.PlatformType]:
        return []


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    monkeypatch.setattr(system, "DOCUMENT_SECONDS", -1.0)
    yield Exporter()


@pytest.fixture
def routes(exporter: Exporter) -> SystemRoutes:
    about = About("https://exports.example.com/", "help@example.com")
    return SystemRoutes(cast(ExporterClient, exporter), cast(DeliveryClient, Delivery()), {}, [], about)


async def read(routes: SystemRoutes) -> web.Response:
    return await routes.openapi(make_mocked_request("GET", "/api/v1/openapi.json"))


async def test_the_document_is_made_again_when_the_formats_change(exporter: Exporter, routes: SystemRoutes) -> None:
    first, again = (await read(routes)).text, (await read(routes)).text
    assert first is not None
    assert first == again
    made = routes._document
    await read(routes)
    assert routes._document is made
    exporter.names = ["csv", "xml"]
    await read(routes)
    assert routes._document is not made


async def test_the_last_document_is_sent_while_a_service_is_down(exporter: Exporter, routes: SystemRoutes) -> None:
    exporter.is_down = True
    with pytest.raises(Unavailable):
        await read(routes)
    exporter.is_down = False
    known = (await read(routes)).text
    exporter.is_down = True
    assert (await read(routes)).text == known


async def test_the_document_says_where_the_gateway_is_and_whom_to_ask(routes: SystemRoutes) -> None:
    found = json.loads((await read(routes)).text or "")
    assert [server["url"] for server in found["servers"]] == ["https://exports.example.com"]
    assert found["info"]["contact"] == {"name": "The operator of this gateway", "email": "help@example.com"}
    assert found["info"]["license"]["identifier"] == "Apache-2.0"
