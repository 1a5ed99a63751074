"""The manifests of a release as a single file: an overlay rendered, with images by digest where it is known."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.release.job_names import named_by_content
from deploy.release.rendering import Manifest, rendered

OVERLAY = "production"
EXAMPLE_REGISTRY = "registry.example.com/catalog-exports"
"""In the overlay; a release replaces it by the registry that it was pushed to."""
HEAD = """\
# Catalog Exports {version}: deploy/k8s/overlays/{overlay}, rendered. Bucket and address are examples: use this file
# as a resource of a kustomization that changes them, or render an overlay of yours. deploy/k8s/README.md says what else
# is needed.
"""


def text_of(root: Path, version: str, registry: str, digests: Mapping[str, str]) -> str:
    """One YAML file with all objects.

    Args:
        registry: where the images were pushed to, with the path before the name of the service.
        digests: `sha256:...` by service, or by image for those of others; images without one keep their tag only.

    Raises:
        NotRendered: kubectl refused the overlay.
    """
    objects = rendered(OVERLAY, root)
    for container in containers(objects):
        container["image"] = _image(container["image"], registry, digests)
    head = HEAD.format(version=version, overlay=OVERLAY)
    return head + yaml.safe_dump_all(named_by_content(objects), sort_keys=False, width=10_000)


def containers(objects: list[Manifest]) -> Iterator[dict[str, Any]]:
    """All containers, including those of Jobs and init containers."""
    for one in objects:
        spec = one.get("spec", {})
        pod = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec", {})
        if one["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
            yield from (*pod.get("initContainers", ()), *pod["containers"])


def images(text: str) -> list[str]:
    """The images in a rendered file, each once."""
    return sorted({each["image"] for each in containers([one for one in yaml.safe_load_all(text) if one])})


def _image(image: str, registry: str, digests: Mapping[str, str]) -> str:
    known_as = image
    if image.startswith(f"{EXAMPLE_REGISTRY}/"):
        image = image.removeprefix(f"{EXAMPLE_REGISTRY}/")
        known_as, image = image.partition(":")[0], f"{registry}/{image}"
    # With the tag, so that people see the version; a container runtime uses the digest.
    return f"{image}@{digests[known_as]}" if known_as in digests else image
