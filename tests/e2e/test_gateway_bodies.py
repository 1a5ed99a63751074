"""Bodies that are not valid as HTTP or JSON, whatever the format and its options."""

import gzip
import http.client
import json
import time
import zlib
from urllib.parse import urlsplit

import pytest

from tests.problems import problem
from tests.rest import Answer, Rest
from tests.system import System

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shop(system: System) -> Rest:
    system.fill("bodies", [{"_id": "1", "sku": "A", "price": 52.0}])
    return system.client("bodies")


def send(client: Rest, raw: bytes, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.call("POST", "/exports/csv/products", raw=raw, headers=named)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "line 1, column"),
        (b'{\n"filters": nonsense}', "line 2, column 12"),
        (b"{} {}", "Extra data"),
        (b"{'filters': {}}", "double quotes"),
        (b'{"filters": {"price": NaN}}', "NaN is not a JSON value"),
        (b'{"filters": {"price": -Infinity}}', "-Infinity is not a JSON value"),
        (b'{"file_name": "\xff"}', "not UTF-8"),
        ('{"file_name": "ä"}'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"pretty": true}', "BOM"),
        (b'{"file_name": "\\ud800"}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b"[" * 9_000, "nested too deeply"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested too deeply"),
        (b'{"filters": {"price": ' + b"9" * 5_000 + b"}}", "too many digits"),
    ],
)
def test_a_body_that_is_not_json_is_rejected_with_position_and_reason(shop: Rest, raw: bytes, words: str) -> None:
    problem(send(shop, raw), 400, "not_json", words=words)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[]", "an array"),
        (b'[{"filters": {}}]', "an array"),
        (b'"csv"', "a string"),
        (b"7", "a number"),
        (b"1.5", "a number"),
        (b"true", "true or false"),
        (b"null", "null"),
    ],
)
def test_a_body_that_is_not_an_object_is_rejected_with_its_type(shop: Rest, raw: bytes, words: str) -> None:
    problem(send(shop, raw), 422, "invalid_request", field="body", words=words)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"utf8_bom": true, "utf8_bom": false}', "utf8_bom"),
        (b'{"filters": {"price": {"gt": 1, "gt": 2}}}', "gt"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "?"),
    ],
)
def test_a_repeated_key_is_rejected(shop: Rest, raw: bytes, field: str) -> None:
    problem(send(shop, raw), 422, "invalid_request", field=field, words="repeated")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"utf8_bomb": True}, "utf8_bomb"),
        ({"utf8_bom": "yes"}, "utf8_bom"),
        ({"utf8_bom": 1}, "utf8_bom"),
        ({"include_fields": "sku"}, "include_fields"),
        ({"include_fields": [1]}, "include_fields[0]"),
        ({"filters": []}, "filters"),
        ({"filters": {"sku": {"a": {"a": {"a": 1}}}}}, "filters.sku"),
        ({"file_name": 7}, "file_name"),
        ({"platform_ids": ["7"]}, "platform_ids[0]"),
    ],
)
def test_an_invalid_option_is_named(shop: Rest, body: object, field: str) -> None:
    problem(shop.export("csv", body), 422, "invalid_request", field=field)


def test_all_invalid_options_are_named(shop: Rest) -> None:
    found = problem(
        shop.export("csv", {"utf8_bom": 1, "delimiter": "x", "pretty": True}), 422, "invalid_request", "utf8_bom"
    )
    assert {error["field"] for error in found["errors"]} == {"utf8_bom", "delimiter", "pretty"}


@pytest.mark.parametrize(
    "stated", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_of_another_media_type_is_rejected(shop: Rest, stated: str) -> None:
    problem(send(shop, b"{}", Content_Type=stated), 415, "unsupported_media_type", words="application/json")


@pytest.mark.parametrize(
    "stated", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
)
def test_json_is_recognised_however_it_is_declared(shop: Rest, stated: str) -> None:
    assert send(shop, b"{}", Content_Type=stated).status == 202


@pytest.mark.parametrize("raw", [b"", b" \r\n\t"])
def test_an_empty_body_means_no_options(shop: Rest, raw: bytes) -> None:
    assert send(shop, raw).status == 202


OPTIONS = b'{"pretty": true}'


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [
        ("gzip", gzip.compress(OPTIONS, mtime=0)),
        ("X-GZIP", gzip.compress(OPTIONS, mtime=0)),
        ("deflate", zlib.compress(OPTIONS)),
        ("deflate", zlib.compress(OPTIONS, wbits=-zlib.MAX_WBITS)),
        ("identity", OPTIONS),
    ],
)
def test_a_compressed_body_is_decompressed(shop: Rest, encoding: str, raw: bytes) -> None:
    problem(send(shop, raw, Content_Encoding=encoding), 422, "invalid_request", field="pretty")


@pytest.mark.parametrize(
    "raw", [b"not compressed", b"x", gzip.compress(OPTIONS, mtime=0)[:-9], gzip.compress(OPTIONS, mtime=0) + b"x"]
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_damaged_body_is_rejected_at_once_also_if_it_comes_after_the_headers(
    shop: Rest, encoding: str, raw: bytes
) -> None:
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=30)
    connection.putrequest("POST", "/api/v1/exports/csv/products")
    for name, value in {"Content-Encoding": encoding, "Content-Length": len(raw)}.items():
        connection.putheader(name, str(value))
    connection.putheader("Authorization", f"Bearer {shop.key}")
    connection.endheaders()
    time.sleep(0.1)  # so that it does not arrive with the headers
    connection.send(raw)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (400, "not_json")
    connection.close()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
def test_another_encoding_is_rejected(shop: Rest, encoding: str) -> None:
    problem(send(shop, OPTIONS, Content_Encoding=encoding), 415, "unsupported_media_type", words="Content-Encoding")


def test_a_body_that_is_small_only_while_compressed_is_too_large(shop: Rest) -> None:
    bomb = gzip.compress(b'{"file_name": "' + b"x" * 20 * MIB + b'"}')
    assert len(bomb) < MIB
    problem(send(shop, bomb, Content_Encoding="gzip"), 413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_20_mb_is_rejected_and_the_connection_stays_usable(shop: Rest, chunked: bool) -> None:
    body = b'{"file_name": "' + b"x" * 20 * MIB + b'"}'
    headers = {"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=30)
    sent = (body[start : start + MIB] for start in range(0, len(body), MIB)) if chunked else body
    connection.request("POST", "/api/v1/exports/csv/products", sent, headers, encode_chunked=chunked)
    with connection.getresponse() as response:
        read = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    problem(read, 413, "body_too_large", words=str(MIB))
    connection.request("GET", "/api/v1/exports/jobs", headers=headers)
    with connection.getresponse() as response:
        assert response.status == 200
        assert "items" in json.loads(response.read())
    connection.close()


def test_options_of_the_maximum_size_are_accepted_and_one_byte_more_is_not(shop: Rest) -> None:
    assert send(shop, b"{}".ljust(MIB // 4)).status == 202
    problem(send(shop, b"{}".ljust(MIB // 4 + 1)), 422, "invalid_request", "body")


def test_a_body_above_the_maximum_size_is_rejected(shop: Rest) -> None:
    problem(send(shop, b"{}".ljust(MIB)), 422, "invalid_request", "body")  # read, and then too long for options
    problem(send(shop, b"{}".ljust(MIB + 1)), 413, "body_too_large")
