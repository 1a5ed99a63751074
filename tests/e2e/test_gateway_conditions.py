"""ETags, changes that require one, pages of other origins, and links behind a proxy."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import Gateway, gateway
from tests.problems import problem
from tests.rest import Rest
from tests.system import System

TENANT = "conditions"
PLATFORM = {
    "name": "Shop",
    "platform_type": "sftp",
    "config": {"host": "127.0.0.1", "port": 1, "username": "u", "password": "p"},
}
SHOP = "https://shop.example.com"


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill(TENANT, [{"_id": "1", "sku": "A"}])
    return system.client(TENANT)


@pytest.fixture(scope="module")
def behind_proxy(system: System) -> Iterator[Gateway]:
    with gateway(system, "proxied", TRUSTED_PROXIES="127.0.0.0/8", CORS_ORIGINS=SHOP) as running:
        yield running


@pytest.fixture
def paths(client: Rest) -> dict[str, str]:
    """A platform, a schedule, a webhook and a job."""
    platform = client.call("POST", "/exports/platforms", PLATFORM).json["id"]
    schedule = {"platform_id": platform, "schedule_name": "Nightly", "cron_expression": "0 3 * * *", "is_active": False}
    webhook = {"url": "https://shop.example.com/hooks", "events": ["export.failed"], "is_active": False}
    return {
        "platform": f"/exports/platforms/{platform}",
        "schedule": f"/exports/schedules/{client.call('POST', '/exports/schedules', schedule).json['id']}",
        "webhook": f"/webhooks/{client.call('POST', '/webhooks', webhook).json['id']}",
        "job": f"/exports/jobs/{client.ended(client.export('csv', {'platform_ids': []}).json['id'])['id']}",
    }


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "platform": ({"name": "Other"}, {"name": "Third"}),
    "schedule": ({"schedule_name": "Other"}, {"schedule_name": "Third"}),
    "webhook": ({"events": ["export.completed"]}, {"events": ["export.cancelled"]}),
}


@pytest.mark.parametrize("kind", ["webhook", "schedule", "platform"])
def test_a_change_that_requires_what_was_read_is_refused_after_another_change(
    client: Rest, paths: dict[str, str], kind: str
) -> None:
    path, (first, second) = paths[kind], CHANGES[kind]
    read = client.call("GET", path)
    tag = read.headers["etag"]
    known = client.call("GET", path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", tag)
    changed = client.call("PATCH", path, first, headers={"If-Match": tag})
    assert changed.status == 200, changed.body
    problem(client.call("PATCH", path, second, headers={"If-Match": tag}), 412, "precondition_failed")
    problem(client.call("DELETE", path, headers={"If-Match": tag}), 412, "precondition_failed")
    now = client.call("GET", path, headers={"If-None-Match": tag})
    assert (now.status, now.json) == (200, changed.json)
    assert client.call("PATCH", path, second, headers={"If-Match": "*"}).status == 200
    last = client.call("GET", path).headers["etag"]
    if kind == "platform":
        client.call("DELETE", paths["schedule"])
    assert client.call("DELETE", path, headers={"If-Match": last}).status == 204


def test_a_job_is_deleted_only_as_it_was_read(client: Rest, paths: dict[str, str]) -> None:
    path = paths["job"]
    tag = client.call("GET", path).headers["etag"]
    assert client.call("GET", path, headers={"If-None-Match": tag}).status == 304
    problem(client.call("DELETE", path, headers={"If-Match": '"other"'}), 412, "precondition_failed")
    assert client.call("DELETE", path, headers={"If-Match": tag}).status == 204


def test_pages_of_listed_origins_may_call_it_and_others_may_not(
    system: System, client: Rest, behind_proxy: Gateway, paths: dict[str, str]
) -> None:
    beside = Rest(behind_proxy.url, client.key)
    ask = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = Rest(behind_proxy.url, "").call("OPTIONS", "/exports/csv/products", headers=ask)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (204, SHOP)
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    answer = beside.call("GET", paths["job"], headers={"Origin": SHOP})
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Accept-Encoding, Origin"
    download = Rest(behind_proxy.url, "").call("GET", answer.json["file_url"], headers={"Origin": SHOP})
    assert (download.status, download.headers["access-control-allow-origin"]) == (200, SHOP)
    assert download.headers["vary"] == "Accept, Accept-Encoding, Origin"
    refused = beside.call("GET", paths["job"], headers={"Origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-origin" not in client.call("GET", paths["job"], headers={"Origin": SHOP}).headers
    assert Rest(system.url, "").call("OPTIONS", "/exports/csv/products", headers=ask).status == 405


def test_links_follow_a_trusted_proxy_and_no_other(
    system: System, client: Rest, behind_proxy: Gateway, paths: dict[str, str]
) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "exports.example.com"}
    shown = Rest(behind_proxy.url, client.key).call("GET", paths["job"], headers=said).json
    assert shown["file_url"].startswith("https://exports.example.com/api/v1/exports/jobs/")
    assert shown["file_url_expires_at"] > shown["completed_at"]
    untrusted = client.call("GET", paths["job"], headers=said).json
    assert untrusted["file_url"].startswith(system.url)
    wrong = {"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example.com/x"}
    assert (
        Rest(behind_proxy.url, client.key)
        .call("GET", paths["job"], headers=wrong)
        .json["file_url"]
        .startswith(behind_proxy.url)
    )


def test_the_root_leads_to_the_reference(system: System) -> None:
    assert b"swagger" in Rest(system.url, "").call("GET", f"{system.url}/").body
