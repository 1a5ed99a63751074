"""Request headers, and request data that becomes part of response headers."""

from email.message import EmailMessage

import pytest

from tests.problems import problem
from tests.rest import Rest
from tests.system import System


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("headers", [{"_id": "1", "sku": "A"}])
    return system.client("headers")


def file_name(disposition: str) -> str | None:
    """The file name in a Content-Disposition, parsed by the standard library."""
    message = EmailMessage()
    message["Content-Disposition"] = disposition
    return message.get_filename()


@pytest.mark.parametrize(
    "name",
    [
        "a\r\nX-Evil: 1",
        "a\nSet-Cookie: b=c",
        "a\x00b",
        'a"; filename="b',
        "../../etc/passwd",
        "a\\b",
        "a\x85b",
        "a\u2028b",
    ],
)
def test_a_file_name_cannot_inject_a_header(shop: Rest, name: str) -> None:
    problem(shop.export("csv", {"file_name": name}), 422, "invalid_request", field="file_name")


@pytest.mark.parametrize("name", ["prices; final", "100% größe", "カタログ", "a'b", "naïve, 🎉", "UTF-8''x"])
def test_any_other_file_name_is_kept(shop: Rest, name: str) -> None:
    job, _ = shop.file("csv", {"file_name": name})
    assert job["file_name"] == f"{name}.csv"
    disposition = shop.download(job["id"]).headers["content-disposition"]
    assert disposition.isascii()
    assert disposition.startswith("attachment; filename=")
    assert "filename*=UTF-8''" in disposition
    # Clients that support the form with * use it (RFC 6266, 4.3); it is the last one.
    assert file_name(f"attachment; {disposition.rpartition('; ')[2]}") == f"{name}.csv"


@pytest.mark.parametrize("key", ["a", "order-4711/2026", '"quoted"', "x" * 255, "!#$%&'*+.^_`|~{}[]()<>@,;:\\/?="])
def test_an_idempotency_key_of_visible_characters_is_accepted(shop: Rest, key: str) -> None:
    ids = [shop.export("csv", key=key).json["id"] for _ in range(2)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "tab\there", "ümläut"])
def test_any_other_idempotency_key_is_rejected(shop: Rest, key: str) -> None:
    headers = {"Idempotency-Key": key}
    answer = shop.call("POST", "/exports/csv/products", {}, headers=headers)
    problem(answer, 422, "invalid_query", field="Idempotency-Key")


def test_an_idempotency_key_reused_for_another_format_or_body_is_rejected(shop: Rest) -> None:
    shop.export("csv", {"utf8_bom": False}, key="once")
    problem(shop.export("json", {}, key="once"), 422, "idempotency_key_reused", words="new key")
    problem(shop.export("csv", {}, key="once"), 422, "idempotency_key_reused", words="new key")


def test_a_repeated_request_returns_the_same_job_after_it_has_ended(shop: Rest) -> None:
    first = shop.export("csv", key="ended").json["id"]
    shop.ended(first)
    repeated = shop.export("csv", key="ended")
    assert (repeated.status, repeated.json["id"], repeated.json["status"]) == (202, first, "completed")
    assert repeated.headers["location"] == f"/api/v1/exports/jobs/{first}"
