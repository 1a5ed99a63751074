"""Compressed responses: what a client asks for, what is worth it, and files that arrive whole."""

import gzip
import hashlib
import http.client
import io
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import zstandard

from tests.rest import Answer, Rest
from tests.system import System

TENANT = "compressed"


def _unzstd(raw: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()


DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": _unzstd,
}


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill(TENANT, [{"_id": str(n), "sku": f"A{n}", "text": "the same words " * 20} for n in range(20_000)])
    return system.client(TENANT)


def got(client: Rest, path: str, accept: str, **more: str) -> Answer:
    return client.call("GET", path, headers={"Accept-Encoding": accept, **more})


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("*", "zstd"),
        ("identity", None),
        ("gzip;q=0", None),
        ("br", None),
        ("", None),
    ],
)
def test_a_body_is_compressed_as_the_client_asks(client: Rest, accept: str, encoding: str | None) -> None:
    plain = client.call("GET", "/formats")
    answer = got(client, "/formats", accept)
    assert answer.headers.get("content-encoding") == encoding
    assert "Accept-Encoding" in answer.headers["vary"]
    assert (DECODE[encoding](answer.body) if encoding else answer.body) == plain.body
    assert (len(answer.body) < len(plain.body) / 2) == bool(encoding)


def test_small_bodies_stay_as_they_are(client: Rest) -> None:
    assert "content-encoding" not in got(client, "/webhooks", "gzip").headers


def test_the_etag_of_a_compressed_body_can_be_sent_back(client: Rest) -> None:
    job = client.ended(client.export("csv", {"include_fields": [f"f{n}" for n in range(99)] + ["sku"]}).json["id"])
    path = f"/exports/jobs/{job['id']}"
    answer = got(client, path, "gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["etag"].startswith('W/"')
    assert got(client, path, "gzip", **{"If-None-Match": answer.headers["etag"]}).status == 304
    assert client.call("DELETE", path, headers={"If-Match": answer.headers["etag"]}).status == 204


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_file_is_compressed_on_its_way_and_arrives_whole(client: Rest, encoding: str) -> None:
    job, plain = client.file("csv")
    path = f"/exports/jobs/{job['id']}/download"
    answer = got(client, path, encoding)
    assert (answer.headers["content-encoding"], answer.headers["accept-ranges"]) == (encoding, "none")
    assert len(answer.body) < len(plain) / 5
    assert hashlib.sha256(DECODE[encoding](answer.body)).hexdigest() == job["sha256"]
    assert got(client, path, encoding, **{"If-None-Match": answer.headers["etag"]}).status == 304
    part = got(client, path, encoding, Range="bytes=10-19")
    assert (part.status, part.body, "content-encoding" in part.headers) == (206, plain[10:20], False)


def test_a_file_that_is_compressed_already_stays_as_it_is(client: Rest) -> None:
    job, plain = client.file("zip")
    answer = got(client, f"/exports/jobs/{job['id']}/download", "gzip, zstd")
    assert "content-encoding" not in answer.headers
    assert answer.body == plain


def test_a_file_that_is_damaged_in_the_store_never_looks_complete(system: System, client: Rest) -> None:
    job = client.ended(client.export("csv", {"include_fields": ["sku"]}).json["id"])
    [file] = [path for path in (system.folder / "artifacts").rglob("*.csv") if job["id"] in str(path)]
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    try:
        parts = urlsplit(job["file_url"])
        connection = http.client.HTTPConnection(parts.netloc)
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"Accept-Encoding": "gzip"})
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            connection.getresponse().read()
    finally:
        file.write_bytes(whole)
