"""Routes that need no key: the pages of the reference, health, readiness and metrics."""

import re
import urllib.request
from html.parser import HTMLParser

import pytest

from tests.rest import Answer, Rest
from tests.system import System


class Named(HTMLParser):
    """Collects the files that a page loads and its inline scripts and handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.files += [value for name in ("src", "href", "data-url") if (value := given.get(name))]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


@pytest.fixture
def anonymous(system: System) -> Rest:
    return Rest(system.url, "")


def get(client: Rest, path: str) -> Answer:
    return client.call("GET", client.url + path)


def test_the_reference_and_all_its_files_come_from_the_gateway(anonymous: Rest) -> None:
    page = get(anonymous, "/docs")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    named = Named()
    named.feed(page.body.decode())
    assert len(named.files) >= 4
    for file in named.files:
        assert file.startswith("/")
        assert not file.startswith("//")
        assert get(anonymous, file).status == 200, file
    assert named.inline == [], "the policy would forbid it"


def test_the_page_contains_no_foreign_address(anonymous: Rest) -> None:
    texts = [get(anonymous, path).body.decode() for path in ("/docs", "/docs/start.js")]
    assert not [text for text in texts if re.search(r"https?:|//", text)]


def test_the_policy_forbids_loading_from_elsewhere(anonymous: Rest) -> None:
    policy = get(anonymous, "/docs").headers["content-security-policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'self'"]
    assert not {"script-src", "connect-src"} & set(rules), "they would override default-src"
    assert not [source for sources in rules.values() for source in sources if "http" in source or source == "*"]


def test_a_running_gateway_is_alive_and_ready(anonymous: Rest) -> None:
    assert get(anonymous, "/healthz").json == {"status": "alive"}
    assert get(anonymous, "/readyz").json == {"status": "ready", "checks": {"exporter": True, "database": True}}


def test_clients_do_not_see_metrics(anonymous: Rest) -> None:
    assert get(anonymous, "/metrics").status == 404


def test_metrics_have_routes_and_never_ids(system: System, anonymous: Rest) -> None:
    job_id = "11111111-2222-4333-8444-555555555555"
    system.client("metrics").call("GET", f"/exports/jobs/{job_id}")
    get(anonymous, "/nowhere/abcdefgh")
    with urllib.request.urlopen(f"http://127.0.0.1:{system.gateway_metrics_port}/metrics") as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        text = answer.read().decode()
    route = 'method="GET",route="/api/v1/exports/jobs/{job_id}",status="404"'
    assert re.search(rf"^gateway_request_seconds_count{{{re.escape(route)}}} [1-9]", text, re.MULTILINE)
    assert "gateway_download_bytes_total" in text
    assert "gateway_requests_aborted_total" in text
    assert job_id not in text
    assert "abcdefgh" not in text
