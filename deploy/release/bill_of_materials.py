"""The bill of materials of each image in CycloneDX, from its hashed requirements."""

import uuid
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.release.requirements import Requirement, requirements

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "catalog-exports")


def text_of(root: Path, service: str, version: str) -> str:
    """JSON that lists what the image of a service consists of: every package with its version and its hashes.

    Depends on the arguments and the requirements only, so two releases of one commit are equal.
    """
    image = Component(
        type=ComponentType.CONTAINER, name=f"catalog-exports/{service}", version=version, bom_ref=f"{service}@{version}"
    )
    packages = [_component(one) for one in requirements(root, service)]
    bill = Bom(components=packages, serial_number=uuid.uuid5(NAMESPACE, f"{service}@{version}"))
    bill.metadata.component = image
    bill.metadata.timestamp = None  # type: ignore[assignment]  # optional in the standard
    bill.register_dependency(image, packages)
    return JsonV1Dot6(bill).output_as_string(indent=2) + "\n"


def _component(package: Requirement) -> Component:
    url = PackageURL("pypi", name=package.name, version=package.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in package.hashes],
    )
