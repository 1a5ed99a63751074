"""The transcoders used in the tests of formats."""

from collections.abc import Iterator

import pytest

from services.exporter import transcode
from services.exporter.transcode.choice import PLAIN, compiled_transcoders


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
