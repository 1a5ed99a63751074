"""The table of callers covers every method, allows the services what they call and no more, and is in the docs."""

import re
from collections.abc import Iterator
from itertools import chain

import pytest
from google.longrunning import operations_proto_pb2
from google.protobuf.descriptor import MethodDescriptor

from services.callers import DELIVERY, GATEWAY, INTERNAL, RULES, SCHEDULER
from services.chassis.rpc.callers import Callers
from services.chassis.settings import parse_callers
from services.wire import delivery_pb2, exporter_pb2, profiles_pb2, scheduler_pb2, webhooks_pb2
from tests.system import ROOT

FILES = (exporter_pb2, profiles_pb2, delivery_pb2, scheduler_pb2, webhooks_pb2, operations_proto_pb2)
PACKAGES = {"Operations": "google.longrunning"}
CALLER_COLUMNS = (GATEWAY, SCHEDULER, DELIVERY, INTERNAL)


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every method of the protos, by its path."""
    services = chain.from_iterable(file.DESCRIPTOR.services_by_name.values() for file in FILES)
    for service in services:
        for method in service.methods:
            yield f"/{service.full_name}/{method.name}", method


def test_every_method_of_the_protos_has_its_callers_and_nothing_else_has() -> None:
    assert set(RULES.methods) == {path for path, _ in methods()}
    assert all(RULES.methods.values())


def test_the_methods_that_show_no_tenants_data_have_no_tenant() -> None:
    without = {
        path.rsplit("/", 1)[-1]
        for path, method in methods()
        # The names of operations have the tenant; requests are translated to those of ExporterService.
        if "tenant" not in method.input_type.fields_by_name and "Operations" not in path
    }
    harmless = {path.rsplit("/", 1)[-1] for path in RULES.no_tenants_data}
    assert without == harmless | {"ListEndedJobs", "WatchChanges", "BatchGetJobFiles", "NoteDeliveries"}, (
        "decide about a method without a tenant"
    )


def test_no_method_has_a_request_stream_whose_tenant_would_not_be_checked() -> None:
    assert [path for path, method in methods() if method.client_streaming] == []


@pytest.mark.parametrize("service", [GATEWAY, SCHEDULER, DELIVERY])
def test_a_service_may_call_what_it_calls_and_no_more(service: str) -> None:
    sources = [file.read_text() for file in (ROOT / "services" / service).rglob("*.py")]
    stub = re.compile(r"_(?:stub|profiles|webhooks)\.([A-Z]\w+)")
    called = set(chain.from_iterable(stub.findall(source) for source in sources))
    allowed = {path.rsplit("/", 1)[-1] for path, callers in RULES.methods.items() if service in callers}
    assert called == allowed


def test_the_documented_table_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \|((?: \S* \|){4})$", page, re.MULTILINE)
    shown = {
        f"/{PACKAGES.get(service, 'catalog.exports.v1')}.{service}/{method}": {
            caller
            for caller, cell in zip(CALLER_COLUMNS, cells.strip(" |").split("|"), strict=True)
            if cell.strip() == "yes"
        }
        for service, method, cells in rows
    }
    assert shown == RULES.methods


@pytest.mark.parametrize("text", ["shop", "shop=", "=acme", "shop=acme,", "shop=*,acme", "shop=acme; shop=globex"])
def test_a_setting_of_another_form_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="must be a caller"):
        parse_callers(text)


class Call:
    """What `identify` reads of a call."""

    def __init__(self, *names: str, common: str = "") -> None:
        self._names = {
            "x509_subject_alternative_name": [name.encode() for name in names],
            "x509_common_name": [common.encode()],
        }

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._names


@pytest.mark.parametrize(
    ("call", "caller"),
    [
        (Call("delivery", "delivery.catalog-exports.svc", common="delivery"), "delivery"),
        (Call("spiffe://cluster.local/ns/shop/sa/shop"), "spiffe://cluster.local/ns/shop/sa/shop"),
        (Call(common="scheduler"), "scheduler"),
        (Call("gateway", "delivery"), "unknown"),
        (Call("gateway.evil.example", common="x"), "unknown"),
        (Call("internal"), "unknown"),
        (Call(), "unknown"),
    ],
)
def test_a_caller_is_known_by_exactly_one_name(call: Call, caller: str) -> None:
    callers = Callers(RULES, parse_callers("spiffe://cluster.local/ns/shop/sa/shop=acme"))
    assert callers.identify(call) == caller
