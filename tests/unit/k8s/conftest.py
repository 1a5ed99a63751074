"""One copy of deploy/ for all tests of manifests; each case is rendered when a test first needs it."""

import pytest

from tests.unit.k8s.rendering import Renderings


@pytest.fixture(scope="session")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> Renderings:
    return Renderings(tmp_path_factory.mktemp("k8s"))
