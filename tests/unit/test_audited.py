"""The table of the audit log is complete: a new method or route that changes something cannot be forgotten."""

from unittest.mock import Mock

import pytest
from google.longrunning import operations_proto_pb2
from google.protobuf.descriptor import MethodDescriptor

from services.audited import ACTIONS, METHODS, READ_ONLY, RESOURCES
from services.gateway.http.route import Route, routes_of
from services.gateway.routes.audit import AuditRoutes
from services.gateway.routes.deliveries import DeliveryRoutes
from services.gateway.routes.discovery import DiscoveryRoutes
from services.gateway.routes.downloads import DownloadRoutes
from services.gateway.routes.jobs import JobRoutes
from services.gateway.routes.limits import LimitRoutes
from services.gateway.routes.platforms import PlatformRoutes
from services.gateway.routes.profiles import ProfileRoutes
from services.gateway.routes.schedules import ScheduleRoutes
from services.gateway.routes.webhooks import WebhookRoutes
from services.wire import delivery_pb2, exporter_pb2, profiles_pb2, scheduler_pb2, webhooks_pb2
from tests.system import ROOT

RPC: list[MethodDescriptor] = [
    method
    for file in (exporter_pb2, profiles_pb2, delivery_pb2, scheduler_pb2, webhooks_pb2, operations_proto_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
RPC_BY_NAME = {method.name: method for method in RPC}
ROUTES: list[Route] = [
    route
    for resource in (
        AuditRoutes(Mock()),
        DeliveryRoutes(Mock(), Mock()),
        DownloadRoutes(Mock(), Mock(), Mock(), 1.0),
        JobRoutes(Mock(), Mock(), Mock(), Mock(), Mock()),
        LimitRoutes(Mock(), Mock(), Mock(), Mock(), Mock()),
        ProfileRoutes(Mock(), Mock(), Mock(), Mock()),
        DiscoveryRoutes(Mock(), Mock()),
        PlatformRoutes(Mock(), Mock()),
        ScheduleRoutes(Mock()),
        WebhookRoutes(Mock()),
    )
    for route in routes_of(resource)
]
CHANGES_NOTHING = {
    "/exports/schedules/preview",
    "/exports/profiles/from-header",
    "/exports/{format}/products/preflight",
    "/exports/profiles/{profile_id}/preflight",
}


def test_every_rpc_is_either_recorded_or_read_only() -> None:
    names = [method.name for method in RPC]
    assert len(set(names)) == len(names), "the table has methods without their service"
    assert set(names) == set(METHODS) | READ_ONLY
    assert not set(METHODS) & READ_ONLY


def test_every_module_of_routes_is_looked_at() -> None:
    modules = {path.stem for path in (ROOT / "services" / "gateway" / "routes").glob("[a-z]*.py")}
    seen = {route.handle.__self__.__class__.__module__.rpartition(".")[2] for route in ROUTES}  # type: ignore[attr-defined]
    assert modules - seen == {"system"}  # which needs no key


@pytest.mark.parametrize("method", [m for m in RPC if m.name in METHODS], ids=lambda method: method.name)
def test_what_is_recorded_of_an_rpc_is_in_its_request(method: MethodDescriptor) -> None:
    action, fields = METHODS[method.name], method.input_type.fields_by_name
    assert method.input_type.name == f"{method.name}Request"  # the gateway tells methods by it
    if method.containing_service.name == "Operations":  # its requests are translated
        fields = RPC_BY_NAME[method.name.replace("Operation", "Job")].input_type.fields_by_name
    assert not method.server_streaming
    assert {"tenant", *action.ids} <= set(fields)
    assert action.ids[0] == f"{action.resource}_id"
    assert {name.removesuffix("_id") for name in action.ids} <= set(RESOURCES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_that_changes_something_has_an_action(route: Route) -> None:
    changes = route.method not in ("GET", "HEAD") and route.path not in CHANGES_NOTHING
    assert (route.action in ACTIONS) is changes
