"""S3 and MinIO: how objects are written, how uploads resume, and S3's errors."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from werkzeug.wrappers import Request, Response

from services.delivery.destinations.contract import DestinationError, NameTaken, Step
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.destinations.s3.destination import DESTINATIONS, S3, MinioConfig, S3Config
from tests.contract.destinations.payloads import MIB, File, MemoryNotes, SourceBroken, some
from tests.contract.destinations.rigs import line_to
from tests.contract.destinations.rigs._moto import PART_BYTES, MotoRig, refusal
from tests.contract.destinations.rigs.s3 import PREFIX
from tests.contract.destinations.targets import Target

NAME = "products.csv"
KEY = f"{PREFIX}/{NAME}"
DATA = some(2 * MIB + 12_345, seed=2)
PARTS = -(-len(DATA) // PART_BYTES)
SMALL = b"id,name\r\n1,shoe\r\n"
S3_CONFIG = {"bucket": "exports", "access_key_id": "AKIA", "secret_access_key": "secret"}
MINIO_CONFIG = {"bucket": "exports", "access_key": "key", "secret_key": "secret"}


@pytest.fixture(scope="module")
def running() -> Iterator[MotoRig]:
    rig = MotoRig()
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
def rig(running: MotoRig) -> MotoRig:
    running.clear()
    return running


@pytest.fixture
def target(rig: MotoRig) -> Iterator[Target]:
    with line_to(rig) as line:
        yield Target(rig, line)


def asked(rig: MotoRig, method: str, query: str) -> int:
    """How often a request was made."""
    return sum(verb == method and query in path for verb, path, _ in rig.proxy.asked)


async def interrupted(target: Target, file: File) -> None:
    file.broken_at = MIB
    with pytest.raises(SourceBroken):
        await target.send(NAME, file)
    file.broken_at = None


def answering(rig: MotoRig, when: Callable[[Request], bool], answer: Response) -> None:
    rig.proxy.answers = lambda request: answer if when(request) else None


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["one request", "in parts"])
async def test_an_object_has_its_hash_type_class_and_encryption(target: Target, rig: MotoRig, data: bytes) -> None:
    file = File(data)
    config = {**rig.config(), "storage_class": "STANDARD_IA", "server_side_encryption": "AES256"}
    async with target.session(config) as session:
        sent = await session.send(NAME, file.payload(), replace=True)
    written = rig.metadata(NAME)
    assert written["x-amz-meta-sha256"] == sent.reported["sha256"] == file.payload().sha256
    assert written["x-amz-meta-delivery"] == file.delivery_id
    assert written["content-type"] == "text/csv"
    assert (written["storage_class"], written["encryption"]) == ("STANDARD_IA", "AES256")
    assert sent.remote == f"s3://{rig.bucket}/{KEY}"
    assert sent.reported["etag"]


async def test_every_byte_goes_out_under_a_checksum(target: Target, rig: MotoRig) -> None:
    await target.send(NAME, File(DATA))
    await target.send("small.csv", File(SMALL))
    sent = [headers for method, _, headers in rig.proxy.asked if method == "PUT"]
    assert len(sent) == PARTS + 1
    assert all(headers["X-Amz-Checksum-Sha256"] for headers in sent)
    assert [headers for headers in sent if "Expect" in headers] == []


async def test_only_the_parts_that_are_missing_or_wrong_are_sent_again(target: Target, rig: MotoRig) -> None:
    file = File(DATA)
    await interrupted(target, file)
    (upload,) = rig.uploads().values()
    assert file.notes.kept, "the upload's id is kept"
    there = len(upload.parts)
    assert there >= 2
    upload.set_part(1, b"something else")
    rig.proxy.asked.clear()
    await target.deliver(NAME, file)
    # One more may have been in flight when the attempt was interrupted.
    assert asked(rig, "PUT", "partNumber=") in (PARTS - there, PARTS - there + 1)
    assert asked(rig, "PUT", "partNumber=1") == 1
    assert rig.files() == {NAME: DATA}
    assert file.notes.kept == {}


async def test_an_upload_that_was_removed_is_started_from_scratch(target: Target, rig: MotoRig) -> None:
    file = File(DATA)
    await interrupted(target, file)
    rig.uploads().clear()
    await target.deliver(NAME, file)
    assert (rig.files(), rig.leftovers()) == ({NAME: DATA}, [])


@pytest.mark.parametrize("end", ["send", "tidy"])
async def test_an_upload_whose_id_was_lost_is_aborted(target: Target, rig: MotoRig, end: str) -> None:
    file = File(DATA)
    answering(rig, lambda request: request.method == "POST", refusal(503, "SlowDown"))
    with pytest.raises(DestinationError):
        await target.send(NAME, file)
    rig.proxy.clear()
    rig.begin(KEY)
    await (target.deliver(NAME, file) if end == "send" else target.tidy(NAME, file))
    assert rig.leftovers() == []
    assert rig.files() == ({NAME: DATA} if end == "send" else {})


async def test_a_server_without_uploads_may_say_so_with_an_error(target: Target, rig: MotoRig) -> None:
    """rclone's server does."""
    file = File(DATA)
    answering(rig, lambda request: request.method == "POST", refusal(503, "SlowDown"))
    with pytest.raises(DestinationError):
        await target.send(NAME, file)
    assert file.notes.kept, "an upload whose id is unknown"
    rig.proxy.asked.clear()
    answering(rig, lambda request: request.method == "GET" and "uploads" in request.args, refusal(404, "NoSuchUpload"))
    await target.tidy(NAME, file)
    assert asked(rig, "GET", "uploads") == 1
    assert file.notes.kept == {}


@pytest.mark.parametrize("ours", [True, False])
async def test_an_object_with_another_etag_than_its_upload_is_recognised_by_its_metadata(
    target: Target, rig: MotoRig, *, ours: bool
) -> None:
    """As at rclone's server."""
    file = File(SMALL)
    headers = {
        "ETag": '"other"',
        "Content-Length": str(len(SMALL)),
        "x-amz-meta-sha256": file.payload().sha256,
        "x-amz-meta-delivery": file.delivery_id if ours else "another",
    }
    answering(rig, lambda request: request.method == "HEAD", Response(status=200, headers=headers))
    if ours:
        assert (await target.send(NAME, file)).reported["etag"] == "other"
        return
    with pytest.raises(DestinationError) as caught:
        await target.send(NAME, file)
    assert caught.value.code == "changed_meanwhile"


async def test_uploads_of_others_are_left_alone(target: Target, rig: MotoRig) -> None:
    rig.begin(KEY)
    file = File(DATA)
    await interrupted(target, file)
    await target.deliver(NAME, file)
    assert rig.leftovers() == [KEY]


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["one request", "in parts"])
async def test_a_name_taken_while_the_file_is_sent_is_left_alone(target: Target, rig: MotoRig, data: bytes) -> None:
    file = File(data)

    async def read(offset: int) -> AsyncIterator[bytes]:
        rig.write(KEY, b"another client's")
        async for chunk in file.payload().read(offset):
            yield chunk

    async with target.session() as session:
        with pytest.raises(NameTaken):
            await session.send(NAME, file.payload(read=read), replace=False)
    assert (rig.files(), rig.leftovers()) == ({NAME: b"another client's"}, [])


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["one request", "in parts"])
async def test_a_name_taken_by_this_delivery_itself_is_not_a_conflict(
    target: Target, rig: MotoRig, data: bytes
) -> None:
    """If the answer was lost, the client repeats the request and finds the name taken by itself."""
    file = File(data)
    await target.send(NAME, file, replace=False)
    assert (await target.send(NAME, file, replace=False)).size == len(data)
    with pytest.raises(NameTaken):
        await target.send(NAME, File(data, "another delivery"), replace=False)


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["one request", "in parts"])
async def test_a_server_without_conditional_writes_is_supported(target: Target, rig: MotoRig, data: bytes) -> None:
    answering(rig, lambda request: "If-None-Match" in request.headers, refusal(501, "NotImplemented"))
    await target.send(NAME, File(data), replace=False)
    with pytest.raises(NameTaken):
        await target.send(NAME, File(data, "another"), replace=False)
    assert (rig.files(), rig.leftovers()) == ({NAME: data}, [])


async def test_an_object_of_unknown_origin_is_compared_by_etag_or_content(target: Target, rig: MotoRig) -> None:
    file = File(DATA)
    async with target.session() as session:
        for encrypted in (False, True):
            rig.write(KEY, DATA, etag="0" * 32 if encrypted else None)
            found = await session.find(NAME)
            assert found is not None
            assert "sha256" not in found.reported
            assert await session.matches(found, file.payload())
            assert not await session.matches(found, File(some(len(DATA), seed=7)).payload())


async def test_the_aws_configuration_of_this_machine_is_ignored(
    target: Target, rig: MotoRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "not-there")
    await target.send(NAME, File(SMALL))
    assert rig.files() == {NAME: SMALL}


async def test_without_an_endpoint_aws_is_used_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["169.254.169.254"]

    config = S3Config.model_validate({**S3_CONFIG, "region": "eu-central-1"})
    with pytest.raises(DestinationError) as caught:
        async with S3(attempts=1).open(config, Egress(Rules(), lookup), MemoryNotes()):
            pass
    assert (caught.value.step, caught.value.code) == (Step.RESOLVE, "egress_forbidden")
    assert set(asked) == {"exports.s3.eu-central-1.amazonaws.com"}


@pytest.mark.parametrize(
    ("status", "code", "expected", "transient"),
    [
        (403, "InvalidAccessKeyId", (Step.AUTHENTICATE, "wrong_access_key"), False),
        (403, "SignatureDoesNotMatch", (Step.AUTHENTICATE, "wrong_secret_key"), False),
        (400, "ExpiredToken", (Step.AUTHENTICATE, "expired_token"), False),
        (400, "InvalidToken", (Step.AUTHENTICATE, "wrong_token"), False),
        (403, "AccessDenied", (Step.WRITE, "access_denied"), False),
        (404, "NoSuchBucket", (Step.WRITE, "no_such_bucket"), False),
        (403, "RequestTimeTooSkewed", (Step.WRITE, "clock_skew"), True),
        (400, "AuthorizationHeaderMalformed", (Step.WRITE, "wrong_region"), False),
        (400, "InvalidStorageClass", (Step.WRITE, "bad_storage_class"), False),
        (507, "XMinioStorageFull", (Step.WRITE, "no_space"), True),
        (507, "Whatever", (Step.WRITE, "no_space"), True),
        (400, "EntityTooLarge", (Step.WRITE, "too_large"), False),
        (400, "KeyTooLongError", (Step.WRITE, "bad_name"), False),
        (400, "BadDigest", (Step.WRITE, "content_mismatch"), True),
        (503, "SlowDown", (Step.WRITE, "slow_down"), True),
        (429, "Whatever", (Step.WRITE, "slow_down"), True),
        (500, "InternalError", (Step.WRITE, "server_error"), True),
        (502, "Whatever", (Step.WRITE, "server_error"), True),
        (400, "Whatever", (Step.WRITE, "refused"), False),
    ],
)
async def test_errors_of_s3_say_what_to_do(
    target: Target, rig: MotoRig, status: int, code: str, expected: tuple[Step, str], *, transient: bool
) -> None:
    answering(rig, lambda request: request.method == "PUT", refusal(status, code))
    with pytest.raises(DestinationError, match=f"{code}: Not now") as caught:
        await target.send(NAME, File(SMALL))
    assert ((caught.value.step, caught.value.code), caught.value.transient) == (expected, transient)


async def test_the_reason_for_a_refused_head_is_requested(target: Target, rig: MotoRig) -> None:
    async with target.session() as session:
        answering(rig, lambda _: True, refusal(400, "ExpiredToken"))
        with pytest.raises(DestinationError) as caught:
            await session.find(NAME)
    assert caught.value.code == "expired_token"


async def test_an_object_that_may_not_be_read_is_access_denied(target: Target, rig: MotoRig) -> None:
    answering(rig, lambda request: request.method == "HEAD", refusal(403, "AccessDenied"))
    async with target.session() as session:
        with pytest.raises(DestinationError) as caught:
            await session.find(NAME)
    assert (caught.value.step, caught.value.code, caught.value.transient) == (Step.READ, "access_denied", False)


async def test_a_session_token_that_the_server_repeats_is_masked(target: Target, rig: MotoRig) -> None:
    answering(rig, lambda _: True, refusal(400, "ExpiredToken", "The token canary-token-1 has expired"))
    with pytest.raises(DestinationError, match="expired") as caught:
        async with target.session({**rig.config(), "session_token": "canary-token-1"}):
            pass
    assert "canary-token-1" not in str(caught.value)


async def test_a_redirect_to_another_host_is_not_followed(target: Target, rig: MotoRig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        location = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        answering(rig, lambda request: request.method == "PUT", Response(status=307, headers={"Location": location}))
        with pytest.raises(DestinationError):
            await target.send(NAME, File(SMALL))
        elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


async def test_a_server_that_does_not_speak_tls_is_reported(target: Target, rig: MotoRig) -> None:
    with pytest.raises(DestinationError) as caught:
        async with target.session({**rig.config(), "endpoint_url": f"https://127.0.0.1:{rig.port}"}):
            pass
    assert (caught.value.step, caught.value.code) == (Step.CONNECT, "tls_failed")


async def test_two_concurrent_attempts_of_one_delivery_do_not_damage_each_other(target: Target, rig: MotoRig) -> None:
    """A worker that lost its lease without noticing continues while another one has the delivery."""
    file = File(DATA)
    await interrupted(target, file)
    outcomes = await asyncio.gather(*(target.send(NAME, file) for _ in range(2)), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, DestinationError) and not outcome.transient] == []
    await target.deliver(NAME, file)
    assert (rig.files(), rig.leftovers()) == ({NAME: DATA}, [])


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"bucket": "arn:aws:s3:::x"}, "bucket", "match"),
        ({"prefix": "a/../b"}, "prefix", "none of them"),
        ({"prefix": "a//b"}, "prefix", "none of them"),
        ({"prefix": "a\nb"}, "prefix", "control character"),
        ({"secret_access_key": "has space"}, "secret_access_key", "enter it again"),
        ({"access_key_id": "AKIA\n"}, "access_key_id", "match"),
        ({"endpoint_url": "https://key:word@s3.example.com"}, "endpoint_url", "must not contain credentials"),
        ({"endpoint_url": "s3.example.com"}, "endpoint_url", "is not the URL"),
        ({"endpoint_url": "ftp://s3.example.com"}, "endpoint_url", "is not the URL"),
        ({"endpoint_url": "https://s3.example.com/bucket"}, "endpoint_url", "must end after host and port"),
        ({"endpoint_url": "https://s3.example.com:99999"}, "endpoint_url", "is not a URL"),
        ({"storage_class": "standard"}, "storage_class", "match"),
        ({"server_side_encryption": "AES128"}, "server_side_encryption", "AES256"),
        ({"ca_certificate": "PEM"}, "ca_certificate", "is not a certificate"),
        ({"ca_certificate": "été"}, "ca_certificate", "is not a certificate"),
    ],
)
def test_mistakes_in_a_config_of_s3_are_reported(change: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        S3Config.model_validate({**S3_CONFIG, **change})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "exactly one of endpoint and endpoint_url"),
        ({"endpoint": "minio:9000", "endpoint_url": "http://minio:9000"}, "exactly one of endpoint and endpoint_url"),
        ({"endpoint_url": "http://minio:9000", "secure": True}, "contradicts endpoint_url"),
        ({"endpoint": "http://minio:9000"}, "give a URL as `endpoint_url`"),
        ({"endpoint": "key:word@minio:9000"}, "must not contain credentials"),
        ({"endpoint": "minio:9000/bucket"}, "must end after host and port"),
    ],
)
def test_mistakes_in_a_config_of_minio_are_reported(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MinioConfig.model_validate({**MINIO_CONFIG, **change})


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({}, ("s3.us-east-1.amazonaws.com", 443)),
        ({"region": "eu-central-1"}, ("s3.eu-central-1.amazonaws.com", 443)),
        ({"region": "cn-north-1"}, ("s3.cn-north-1.amazonaws.com.cn", 443)),
        ({"endpoint_url": "https://s3.example.com/"}, ("s3.example.com", 443)),
        ({"endpoint_url": "http://[fd00::1]:9000"}, ("fd00::1", 9000)),
    ],
)
def test_s3_is_reached_at_its_endpoint_or_at_aws(change: dict[str, Any], address: tuple[str, int]) -> None:
    assert DESTINATIONS[0].address(S3Config.model_validate({**S3_CONFIG, **change})) == address


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({"endpoint": "minio.example.com"}, ("minio.example.com", 443)),
        ({"endpoint": "minio:9000", "secure": False}, ("minio", 9000)),
        ({"endpoint_url": "http://minio"}, ("minio", 80)),
    ],
)
def test_minio_is_reached_at_its_endpoint(change: dict[str, Any], address: tuple[str, int]) -> None:
    assert DESTINATIONS[1].address(MinioConfig.model_validate({**MINIO_CONFIG, **change})) == address
