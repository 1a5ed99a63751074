"""The number of examples in property tests, and the transcoders used in the tests of formats.

By default few examples, the same in every run; `HYPOTHESIS_PROFILE=thorough` tries many new ones.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from services.exporter import transcode
from services.exporter.transcode.choice import PLAIN, compiled_transcoders

# The documents are large on purpose, and a busy machine must not fail a test.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("quick", _PATIENT, max_examples=100, derandomize=True)
settings.register_profile("thorough", _PATIENT, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="module", params=["compiled", "python"])
def every_transcoder(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs the tests of a module with each available implementation."""
    chosen = PLAIN
    if request.param == "compiled":
        pytest.importorskip("services.exporter.transcode.compiled", reason="the transcoders are not compiled here")
        chosen = compiled_transcoders()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcode, "transcoders", lambda: chosen)
        yield
