"""Errors of blob stores: a full disk, an unavailable server, wrong settings."""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.local.servers import HOST
from services.chassis.blobs import open_store
from services.chassis.blobs.contract import BlobStore, StoreFull, StoreUnavailable
from tests.blob_stores import MIB, folder_url, get, listed, new_prefix, opened, put, use_s3
from tests.real_servers import seaweedfs
from tests.system import ROOT
from tests.tcp_proxy import TcpProxy

KEY = "tenant/job/1/export.csv"
NO_UPLOADS = b"<ListMultipartUploadsResult/>"
UPLOAD = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"

Answer = tuple[int, bytes]
Asked = list[tuple[str, str, Message]]


@contextmanager
def answering(answer: Callable[[str, str], Answer], promised: int | None = None) -> Iterator[tuple[str, Asked]]:
    """A server that answers with `answer(method, path)`; yields its URL and the requests it received.

    Args:
        promised: the Content-Length it names, if not that of the body.
    """
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            asked.append((self.command, self.path, self.headers))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if promised is None else promised))
            self.send_header("ETag", '"e"')
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = respond  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


async def assert_unavailable(store: BlobStore) -> None:
    """All methods of the store fail with StoreUnavailable."""
    calls = [
        store.stat(KEY),
        get(store, KEY),
        get(store, KEY, 5, 0),
        store.delete(KEY),
        store.delete(KEY + ".part"),
        listed(store),
        store.probe(),
        put(store, KEY, b"x"),
        put(store, KEY, bytes(9 * MIB)),
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * len(calls), outcomes


async def test_a_folder_that_disappeared_is_unavailable_and_is_not_created_again(tmp_path: Path) -> None:
    async with opened(folder_url(tmp_path)) as store:
        await put(store, KEY, b"x")
        shutil.rmtree(tmp_path / "blobs")
        await assert_unavailable(store)
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "blobs").write_text("no folder")
        await assert_unavailable(store)


async def test_a_missing_bucket_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, seaweedfs())
    async with opened("s3://no-such-bucket/prefix") as store:
        await assert_unavailable(store)


async def test_wrong_keys_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, None, seaweedfs().url)
    async with opened(new_prefix(seaweedfs())) as store:
        await assert_unavailable(store)


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    """The way to SeaweedFS."""
    with TcpProxy(HOST, seaweedfs().port) as running:
        yield running


async def test_an_unreachable_server_is_unavailable_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch, proxy: TcpProxy
) -> None:
    use_s3(monkeypatch, seaweedfs(), f"http://{HOST}:{proxy.port}")
    async with opened(new_prefix(seaweedfs())) as store:
        proxy.refuse()
        await assert_unavailable(store)
        proxy.heal()
        await put(store, KEY, b"x")
        assert await get(store, KEY) == b"x"


async def test_a_server_that_goes_away_while_a_blob_is_written_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, proxy: TcpProxy
) -> None:
    use_s3(monkeypatch, seaweedfs(), f"http://{HOST}:{proxy.port}")
    async with opened(new_prefix(seaweedfs())) as store:
        writer = await asyncio.to_thread(store.writer, KEY, media_type="text/csv")
        await asyncio.to_thread(writer.write, bytes(9 * MIB))
        proxy.refuse()
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(writer.commit)
        await asyncio.to_thread(writer.abort)


async def test_missing_credentials_are_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_s3(monkeypatch, None, "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with opened("s3://bucket") as store:
        await assert_unavailable(store)


async def test_a_refusal_is_unavailable_and_names_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Not you</Message></Error>"
    with answering(lambda _method, _path: (403, body)) as (endpoint, _):
        use_s3(monkeypatch, None, endpoint)
        async with opened("s3://bucket") as store:
            with pytest.raises(StoreUnavailable, match="AccessDenied: Not you"):
                await get(store, KEY)
            with pytest.raises(StoreUnavailable, match="AccessDenied: Not you"):
                await put(store, KEY, b"x")


@pytest.mark.parametrize("cut_after", [0, 1000])
async def test_an_interrupted_read_is_unavailable_and_never_short(
    monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    with answering(lambda _method, _path: (200, bytes(cut_after)), promised=5000) as (endpoint, _):
        use_s3(monkeypatch, None, endpoint)
        async with opened("s3://bucket") as store:
            with pytest.raises(StoreUnavailable):
                await get(store, KEY)


@pytest.mark.parametrize(
    ("status", "code"),
    [(507, "XMinioStorageFull"), (400, "XMinioAdminBucketQuotaExceeded"), (403, "QuotaExceeded"), (507, "Whatever")],
)
async def test_a_full_bucket_is_full_and_its_upload_is_aborted(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    def answer(method: str, _path: str) -> Answer:
        if method == "PUT":
            return status, f"<Error><Code>{code}</Code><Message>No room</Message></Error>".encode()
        return (204, b"") if method == "DELETE" else (200, UPLOAD if method == "POST" else NO_UPLOADS)

    with answering(answer) as (endpoint, asked):
        use_s3(monkeypatch, None, endpoint)
        async with opened("s3://bucket") as store:
            with pytest.raises(StoreFull, match="No room"):
                await put(store, KEY, b"small")
            writer = await asyncio.to_thread(store.writer, KEY, media_type="text/csv")
            with pytest.raises(StoreFull, match="No room"):
                await asyncio.to_thread(writer.write, bytes(9 * MIB))
            await asyncio.to_thread(writer.abort)
        assert [(method, path) for method, path, _ in asked][-1] == ("DELETE", f"/bucket/{KEY}?uploadId=u")


async def test_a_server_without_uploads_may_say_so_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """rclone's server does."""

    def answer(method: str, path: str) -> Answer:
        if method == "GET" and "uploads" in path:
            return 404, b"<Error><Code>NoSuchUpload</Code></Error>"
        return (
            200,
            b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>" if method == "GET" else b"",
        )

    with answering(answer) as (endpoint, asked):
        use_s3(monkeypatch, None, endpoint)
        async with opened("s3://bucket") as store:
            await put(store, KEY, b"small")
            await store.delete(KEY + ".part")
            assert await listed(store) == ["a"]
    assert sum("uploads" in path for _, path, _ in asked) == 3


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "sa-east-1"}, "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "sa-east-1"}, "sa-east-1"),
        ({}, "us-east-1"),
    ],
)
async def test_requests_are_signed_for_the_region_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    with answering(lambda _method, _path: (200, NO_UPLOADS)) as (endpoint, asked):
        use_s3(monkeypatch, None, endpoint, region=None)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        async with opened("s3://bucket") as store:
            await get(store, KEY)
            await put(store, KEY, b"x")
        assert [f"/{region}/s3/" in headers["Authorization"] for _, _, headers in asked] == [True] * 3
        assert all(path.startswith("/bucket") for _, path, _ in asked)


async def test_every_byte_goes_out_under_a_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    def crc32(data: bytes) -> str:
        return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()

    with answering(lambda method, _path: (200, UPLOAD if method == "POST" else NO_UPLOADS)) as (endpoint, asked):
        use_s3(monkeypatch, None, endpoint)
        async with opened("s3://bucket") as store:
            await put(store, KEY, b"small")
            await put(store, KEY, b"x" * 9 * MIB)
        sums = [headers["x-amz-checksum-crc32"] for method, _, headers in asked if method == "PUT"]
        assert sums == [crc32(b"small"), crc32(b"x" * 8 * MIB), crc32(b"x" * MIB)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "artifacts",
        "/srv/artifacts",
        "file://host/folder",
        "file:///folder#x",
        "http://bucket",
        "s3://",
        "s3:///prefix",
        "s3://bucket/../prefix",
        "s3://bucket/a//b",
        "s3://bucket/prefix?region=x",
    ],
)
async def test_a_url_without_a_store_is_refused(url: str) -> None:
    with pytest.raises(OSError, match="s3://"):
        await open_store(url)


async def test_a_wrong_endpoint_is_refused_when_the_store_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, None, "no address")
    with pytest.raises(OSError, match="s3://bucket/ cannot be used: Invalid endpoint"):
        await open_store("s3://bucket")


async def test_a_folder_that_cannot_be_created_is_refused_when_the_store_is_opened(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("no folder")
    with pytest.raises(FileExistsError):
        await open_store(folder_url(tmp_path))


FILL = """
import resource, sys
from pathlib import Path
from services.chassis.blobs.contract import StoreFull
from services.chassis.blobs.local import LocalStore

store = LocalStore(Path(sys.argv[1]))
if sys.argv[2] != "unlimited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
for step in (1_000, 3_000_000):
    writer = store.writer("tenant/job/1/export.csv", media_type="text/csv")
    try:
        for _ in range(3_000_000 // step):
            writer.write(bytes(step))
        writer.commit()
    except StoreFull as exc:
        print(exc)
        writer.abort()
print(len(list(Path(sys.argv[1]).iterdir())))
writer = store.writer("tenant/job/1/export.csv", media_type="text/csv")
writer.write(b"fits")
writer.commit()
"""


def fill(folder: Path, limit: str) -> list[str]:
    command = [sys.executable, "-c", FILL, str(folder), limit]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "tenant/job/1/export.csv").read_bytes() == b"fits"
    return done.stdout.splitlines()


def test_a_file_larger_than_allowed_is_full_and_leaves_nothing(tmp_path: Path) -> None:
    assert fill(tmp_path / "blobs", str(MIB)) == ["File too large", "File too large", "0"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root with the right to mount can make a disk that is really full")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_full_and_leaves_nothing(small_disk: Path) -> None:
    assert fill(small_disk, "unlimited") == ["No space left on device", "No space left on device", "0"]
