"""Signed links: what was signed is accepted until it expires, and nothing else is."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth.links import PARAMETERS, Signer
from services.gateway.errors import BadKey

JOB = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 3, 15, 9, 20, tzinfo=UTC)
SIGNER = Signer(b"a key for tests of links", timedelta(hours=24))


def link(tenant: str = "shop", job_id: str = JOB, end: datetime | None = None, now: datetime = NOW) -> dict[str, str]:
    query = SIGNER.query(tenant, job_id, now, end)
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def rejection(query: dict[str, str], job_id: str = JOB, now: datetime = NOW, signer: Signer = SIGNER) -> str:
    with pytest.raises(BadKey) as rejected:
        signer.tenant(job_id, query, now)
    return rejected.value.code


@given(st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,37}\Z"), st.uuids().map(str))
def test_a_link_is_valid_for_the_tenant_and_job_it_was_made_for(tenant: str, job_id: str) -> None:
    query = link(tenant, job_id)
    assert tuple(query) == PARAMETERS
    assert SIGNER.tenant(job_id, query, NOW) == tenant


def test_a_link_is_not_valid_for_another_job() -> None:
    assert rejection(link(), "99999999-2222-3333-4444-555555555555") == "invalid_link"


@given(st.sampled_from(PARAMETERS), st.text(max_size=80))
def test_a_changed_link_is_rejected(name: str, value: str) -> None:
    query = link()
    if query[name] != value:
        assert rejection({**query, name: value}) == "invalid_link"


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_incomplete_link_is_rejected(name: str) -> None:
    assert rejection({key: value for key, value in link().items() if key != name}) == "invalid_link"


def test_a_link_signed_with_another_key_is_rejected() -> None:
    assert rejection(link(), signer=Signer(b"another key, as long as that", timedelta(hours=24))) == "invalid_link"


def test_a_link_works_until_it_expires_and_not_a_second_longer() -> None:
    query = link()
    end = datetime.fromtimestamp(int(query["expires"]), UTC)
    assert SIGNER.tenant(JOB, query, end - timedelta(seconds=1)) == "shop"
    assert rejection(query, now=end) == "link_expired"


def test_a_link_lasts_as_long_as_promised_and_at_most_an_hour_more() -> None:
    end = datetime.fromtimestamp(int(link()["expires"]), UTC)
    assert timedelta(hours=24) <= end - NOW <= timedelta(hours=25)


def test_a_link_stays_the_same_within_an_hour() -> None:
    assert link(now=NOW) == link(now=NOW + timedelta(minutes=39))
    assert link(now=NOW) != link(now=NOW + timedelta(minutes=41))


def test_a_link_does_not_outlive_its_file() -> None:
    removed = NOW + timedelta(minutes=5)
    assert int(link(end=removed)["expires"]) == int(removed.timestamp())
