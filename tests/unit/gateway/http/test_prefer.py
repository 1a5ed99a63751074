"""The preference to wait, as RFC 7240 writes it; what is not valid is ignored."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from services.gateway.http.prefer import seconds_to_wait


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        ([], 0),
        (["wait=10"], 10),
        (["Wait = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=5; foo=1"], 5),
        (["wait=5, wait=9"], 5),
        (["wait=0"], 0),
        (["wait=61"], 60),
        (["wait=999999999"], 60),
        (["wait=9999999999999999999999"], 0),
        (["wait=-1"], 0),
        (["wait"], 0),
        (["wait=1.5"], 0),
        (["waiting=5"], 0),
        ([",,;=,"], 0),
    ],
)
def test_the_seconds_to_wait(preferences: list[str], seconds: int) -> None:
    headers = CIMultiDict(("Prefer", preference) for preference in preferences)
    assert seconds_to_wait(make_mocked_request("GET", "/", headers=headers)) == seconds
