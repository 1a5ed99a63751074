"""Signed links: what was signed is accepted until it expires, and nothing else is."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth.links import PARAMETERS, Signer
from services.gateway.errors import BadKey
from services.gateway.http.route import Caller

KEY = "0123456789ab"
JOB = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 3, 15, 9, 20, tzinfo=UTC)
OLD, NEW = b"the first key for tests of links", b"another key for tests of links!!"
SIGNER = Signer([OLD], timedelta(hours=24))


def link(tenant: str = "shop", job_id: str = JOB, end: datetime | None = None, now: datetime = NOW) -> dict[str, str]:
    query = SIGNER.query(Caller(tenant, KEY), job_id, now, end)
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def rejection(query: dict[str, str], job_id: str = JOB, now: datetime = NOW, signer: Signer = SIGNER) -> str:
    with pytest.raises(BadKey) as rejected:
        signer.caller(job_id, query, now)
    return rejected.value.code


@given(st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,37}\Z"), st.uuids().map(str))
def test_a_link_is_valid_for_the_tenant_and_job_it_was_made_for(tenant: str, job_id: str) -> None:
    query = link(tenant, job_id)
    assert tuple(query) == PARAMETERS
    assert SIGNER.caller(job_id, query, NOW) == Caller(tenant, KEY)


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
    assert rejection(link(), signer=Signer([NEW], timedelta(hours=24))) == "invalid_link"


def test_a_link_works_until_it_expires_and_not_a_second_longer() -> None:
    query = link()
    end = datetime.fromtimestamp(int(query["expires"]), UTC)
    assert SIGNER.caller(JOB, query, end - timedelta(seconds=1)).tenant == "shop"
    assert rejection(query, now=end) == "link_expired"


@pytest.mark.parametrize(
    ("lifetime", "least"), [(86_400, 82_800), (7_200, 3_600), (3_600, 1_800), (60, 30), (10, 5), (2, 1)]
)
def test_a_link_never_lasts_longer_than_promised_and_not_much_less(lifetime: int, least: int) -> None:
    signer = Signer([OLD], timedelta(seconds=lifetime))
    for minute in range(0, 120, 7):
        now = NOW + timedelta(minutes=minute)
        [end] = parse_qs(signer.query(Caller("shop", KEY), JOB, now, None))["expires"]
        assert least <= int(end) - now.timestamp() <= lifetime


def test_a_link_works_after_the_signing_key_was_rotated_and_new_links_use_the_new_key() -> None:
    rotated = Signer([NEW, OLD], timedelta(hours=24))
    assert rotated.caller(JOB, link(), NOW) == Caller("shop", KEY)
    query = dict(parse_qsl(rotated.query(Caller("shop", KEY), JOB, NOW, None)))
    assert Signer([NEW], timedelta(hours=24)).caller(JOB, query, NOW) == Caller("shop", KEY)


def test_a_link_made_before_links_had_a_key_is_rejected() -> None:
    end = str(int(NOW.timestamp()) + 3_600)
    signature = hmac.new(OLD, f"download\nshop\n{JOB}\n{end}".encode(), hashlib.sha256).hexdigest()
    assert rejection({"tenant": "shop", "expires": end, "signature": signature}) == "invalid_link"


def test_a_link_stays_the_same_within_an_hour() -> None:
    assert link(now=NOW) == link(now=NOW + timedelta(minutes=39))
    assert link(now=NOW) != link(now=NOW + timedelta(minutes=41))


def test_a_link_does_not_outlive_its_file() -> None:
    removed = NOW + timedelta(minutes=5)
    assert int(link(end=removed)["expires"]) == int(removed.timestamp())
