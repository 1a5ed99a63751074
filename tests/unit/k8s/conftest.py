"""One copy of deploy/ for all tests of manifests, rendered when somebody asks."""

import pytest

from tests.unit.k8s.rendering import Renderings


@pytest.fixture(scope="session")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> Renderings:
    return Renderings(tmp_path_factory.mktemp("k8s"))
