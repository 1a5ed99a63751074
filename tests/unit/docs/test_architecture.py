"""docs/design.md names every package of every service."""

from tests.system import ROOT

SERVICES = ("gateway", "exporter", "delivery", "scheduler")


def test_every_package_of_a_service_is_named() -> None:
    page = (ROOT / "docs/design.md").read_text()
    packages = [
        f"{service}/{init.parent.name}"
        for service in SERVICES
        for init in sorted((ROOT / "services" / service).glob("*/__init__.py"))
    ]
    assert len(packages) > 12
    assert [package for package in packages if f"`{package}`" not in page] == []
