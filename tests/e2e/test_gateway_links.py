"""Signed links: they work without a key, for one job, until they expire."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.gateways import gateway
from tests.problems import problem
from tests.rest import Rest
from tests.system import SIGNING_KEY, System, eventually


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("links", [{"_id": "1", "sku": "A"}])
    return system.client("links")


@pytest.fixture
def anonymous(system: System) -> Rest:
    return Rest(system.url, "")


def changed(link: str, **values: str) -> str:
    """The link with other values in its query."""
    parts = urlsplit(link)
    query = {name: found[0] for name, found in parse_qs(parts.query).items()}
    return parts._replace(query=urlencode({**query, **values})).geturl()


def test_a_link_is_absolute_and_supports_ranges_and_head(shop: Rest, anonymous: Rest) -> None:
    job, file = shop.file("csv")
    link = job["file_url"]
    assert link.startswith(f"{shop.url}/api/v1/exports/jobs/{job['id']}/download?")
    assert anonymous.call("GET", link).body == file
    assert anonymous.call("GET", link, headers={"Range": "bytes=1-2"}).body == file[1:3]
    assert int(anonymous.call("HEAD", link).headers["content-length"]) == len(file)


def test_a_link_does_not_outlive_its_file(shop: Rest) -> None:
    job, _ = shop.file("csv")
    end = datetime.fromtimestamp(int(parse_qs(urlsplit(job["file_url"]).query)["expires"][0]), UTC)
    assert timedelta(hours=23) <= end - datetime.now(UTC) + timedelta(minutes=1) and end - datetime.now(
        UTC
    ) <= timedelta(hours=24)
    assert end <= datetime.fromisoformat(job["expires_at"])


def test_a_link_works_for_its_own_job_only(shop: Rest, anonymous: Rest) -> None:
    one, other = shop.file("csv")[0], shop.file("json")[0]
    problem(anonymous.call("GET", one["file_url"].replace(one["id"], other["id"])), 401, "invalid_link")
    problem(anonymous.call("GET", one["file_url"].replace("/download?", "?")), 401, "missing_key")
    problem(anonymous.call("DELETE", one["file_url"].replace("/download?", "?")), 401, "missing_key")


@pytest.mark.parametrize(
    "values",
    [
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": "ü"},
        {"tenant": "other"},
        {"key": "0123456789ab"},
        {"tenant": ""},
        {"expires": "99999999999"},
        {"expires": "never"},
    ],
)
def test_a_changed_link_is_rejected(shop: Rest, anonymous: Rest, values: dict[str, str]) -> None:
    job, _ = shop.file("csv")
    problem(anonymous.call("GET", changed(job["file_url"], **values)), 401, "invalid_link")


def test_a_changed_link_is_rejected_even_with_a_valid_key(shop: Rest) -> None:
    job, _ = shop.file("csv")
    problem(shop.call("GET", changed(job["file_url"], signature="0" * 64)), 401, "invalid_link")


def test_an_expired_link_is_rejected_as_expired(system: System, shop: Rest, anonymous: Rest) -> None:
    job, _ = shop.file("csv")
    with system.mongo() as mongo:
        soon = {"$set": {"expires_at": datetime.now(UTC) + timedelta(seconds=2)}}
        mongo["exporter"]["jobs"].update_one({"_id": job["id"]}, soon)
    link = shop.job(job["id"])["file_url"]
    rejected = eventually("expired", lambda: (a := anonymous.call("GET", link)).status == 401 and a, within=10)
    problem(rejected, 401, "link_expired")
    eventually("the job says so too", lambda: shop.job(job["id"])["status"] == "expired", within=5)
    problem(shop.download(job["id"]), 410, "file_expired")


def test_a_link_stops_working_with_the_key_it_was_made_with(system: System, anonymous: Rest) -> None:
    system.fill("links-revoked", [{"_id": "1", "sku": "A"}])
    client, other = system.client("links-revoked"), system.client("links-revoked")
    job, file = client.file("csv")
    assert anonymous.call("GET", job["file_url"]).body == file
    with system.mongo() as mongo:
        mongo["gateway"]["keys"].update_one(
            {"_id": client.key.split("_")[1]}, {"$set": {"revoked_at": datetime.now(UTC)}}
        )
    rejected = eventually("rejected", lambda: (a := anonymous.call("GET", job["file_url"])).status == 401 and a)
    problem(rejected, 401, "key_revoked", words="link")
    assert anonymous.call("GET", other.job(job["id"])["file_url"]).body == file


def test_links_survive_a_rotation_of_the_signing_key(system: System, shop: Rest) -> None:
    job, file = shop.file("csv")
    keys = {"SIGNING_KEY": "the signing key after a rotation", "SIGNING_KEY_PREVIOUS": SIGNING_KEY}
    with gateway(system, "gateway-rotated", **keys) as rotated:
        old, new = job["file_url"].replace(system.url, rotated.url), rotated.client(shop.key).job(job["id"])["file_url"]
        assert old != new
        assert [Rest(rotated.url, "").call("GET", link).body for link in (old, new)] == [file, file]
        problem(Rest(system.url, "").call("GET", new.replace(rotated.url, system.url)), 401, "invalid_link")


def test_links_start_with_the_public_url_and_work_on_every_replica(system: System, shop: Rest) -> None:
    job, file = shop.file("csv")
    with gateway(system, "gateway-public", PUBLIC_URL="https://exports.example.com/api/") as public:
        link = public.client(shop.key).job(job["id"])["file_url"]
        assert link.startswith(f"https://exports.example.com/api/api/v1/exports/jobs/{job['id']}/download?")
        assert (
            Rest(system.url, "").call("GET", link.replace("https://exports.example.com/api", system.url)).body == file
        )


def test_a_link_signed_by_another_deployment_is_rejected(system: System, shop: Rest) -> None:
    job, _ = shop.file("csv")
    with gateway(system, "gateway-other", SIGNING_KEY="another signing key, for this test") as other:
        problem(Rest(other.url, "").call("GET", job["file_url"].replace(system.url, other.url)), 401, "invalid_link")
