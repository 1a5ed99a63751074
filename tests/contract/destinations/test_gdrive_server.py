"""The Google Drive of the tests against Google's documents: it takes what they allow and refuses what they do not.

The requests here are written by hand, so that a misunderstanding of ours is not made twice by the same code.
"""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from yarl import URL

from tests.contract.destinations.gdrive_sessions import GRAIN
from tests.contract.destinations.gdrive_store import FOLDER, Refusal, parse_query
from tests.contract.destinations.payloads import some
from tests.contract.destinations.rigs.gdrive import PERSON, REFRESH, SECRET, SERVICE, DriveRig
from tests.system import eventually

FILES = "/drive/v3/files"
UPLOAD = "/upload/drive/v3/files"
ALL = {"supportsAllDrives": "true"}
DATA = some(2 * GRAIN + 1000, seed=8)


@dataclass
class Client:
    """A bare HTTP client with a token."""

    rig: DriveRig
    session: aiohttp.ClientSession
    token: str = ""

    async def ask(self, method: str, path: str, **request: Any) -> aiohttp.ClientResponse:
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.rig.port}{path}"
        headers = {"Authorization": f"Bearer {self.token}", **request.pop("headers", {})}
        response = await self.session.request(method, url, headers=headers, allow_redirects=False, **request)
        await response.read()
        return response

    async def reserve(self) -> str:
        found = await (await self.ask("GET", f"{FILES}/generateIds", params={"count": "1"})).json()
        return str(found["ids"][0])

    async def begin(self, size: int, name: str = "a.csv", **change: Any) -> aiohttp.ClientResponse:
        body = {"id": await self.reserve(), "name": name, "parents": [self.rig.folder.id], **change}
        headers = {"X-Upload-Content-Length": str(size), "X-Upload-Content-Type": "text/csv"}
        return await self.ask("POST", UPLOAD, params={"uploadType": "resumable", **ALL}, json=body, headers=headers)

    async def uri(self, size: int, **change: Any) -> str:
        response = await self.begin(size, **change)
        assert response.status == 200
        return response.headers["Location"]

    async def put(self, uri: str, data: bytes, given: str | None) -> aiohttp.ClientResponse:
        return await self.ask("PUT", uri, data=data, headers={"Content-Range": given} if given else {})


@pytest.fixture(scope="module")
def server() -> Iterator[DriveRig]:
    rig = DriveRig("service")
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
async def client(server: DriveRig) -> AsyncIterator[Client]:
    """An account with access."""
    server.clear()
    async with aiohttp.ClientSession() as session:
        made = Client(server, session)
        made.token = (await grant(made, assertion(server)))[1]["access_token"]
        yield made


def assertion(rig: DriveRig, signed_with: rsa.RSAPrivateKey | None = None, **change: Any) -> dict[str, str]:
    """The form of RFC 7523, signed without google-auth."""
    key: Any = signed_with or serialization.load_pem_private_key(
        rig.config()["credentials"]["private_key"].encode(), None
    )
    now = int(time.time())
    claims = {
        "iss": SERVICE,
        "scope": "https://www.googleapis.com/auth/drive",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now,
        "exp": now + 3600,
        **change,
    }
    signed = b".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    token = b".".join([signed, _encoded(signature)]).decode()
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": token}


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def refreshing(**change: str) -> dict[str, str]:
    found = {"client_id": "client-1", "client_secret": SECRET, "refresh_token": REFRESH, **change}
    return {"grant_type": "refresh_token", **found}


async def grant(client: Client, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    response = await client.session.post(f"http://127.0.0.1:{client.rig.port}/token", data=form)
    return response.status, await response.json()


async def reason(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """Status and reason of an error in Drive's form."""
    error = (await response.json())["error"]
    assert error["code"] == response.status
    assert set(error["errors"][0]) == {"domain", "reason", "message"}
    return response.status, error["errors"][0]["reason"]


async def test_an_assertion_and_a_refresh_token_are_exchanged_for_a_token(client: Client) -> None:
    for form in (assertion(client.rig), refreshing()):
        status, answer = await grant(client, form)
        assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3599)


async def test_assertions_google_would_refuse_are_refused(client: Client) -> None:
    rig, now = client.rig, int(time.time())
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for form, said in [
        (assertion(rig, stranger), "Invalid JWT Signature."),
        (assertion(rig, iss="nobody@example.com"), "Invalid grant: account not found"),
        (assertion(rig, aud="https://example.com/token"), "Invalid JWT: Failed audience check."),
        (assertion(rig, iat=now - 7200, exp=now - 3600), "Invalid JWT: Token must be a short-lived token"),
        (assertion(rig, exp=now + 7200), "Invalid JWT: Token must be a short-lived token"),
        ({**assertion(rig), "assertion": "no.jwt"}, "Invalid JWT."),
    ]:
        status, answer = await grant(client, form)
        assert (status, answer["error"]) == (400, "invalid_grant"), said
        assert answer["error_description"].startswith(said)
    assert (await grant(client, assertion(rig, scope="")))[1]["error"] == "invalid_scope"
    assert (await grant(client, {"grant_type": "password"}))[1]["error"] == "unsupported_grant_type"


async def test_consent_google_would_refuse_is_refused(client: Client) -> None:
    assert (await grant(client, refreshing(refresh_token="x")))[1]["error"] == "invalid_grant"
    assert (await grant(client, refreshing(client_secret="x")))[0] == 401
    assert (await grant(client, refreshing(client_id="x")))[1]["error"] == "invalid_client"


async def test_without_a_good_token_everything_is_401(client: Client) -> None:
    uri = await client.uri(10)
    client.token = "another"
    for method, path in [("GET", FILES), ("GET", f"{FILES}/generateIds"), ("POST", UPLOAD), ("PUT", uri)]:
        assert await reason(await client.ask(method, path)) == (401, "authError")


async def test_a_file_is_sent_part_by_part_and_appears_when_it_is_complete(client: Client) -> None:
    uri = await client.uri(len(DATA))
    first = await client.put(uri, DATA[:GRAIN], f"bytes 0-{GRAIN - 1}/{len(DATA)}")
    assert (first.status, first.headers["Range"]) == (308, f"bytes=0-{GRAIN - 1}")
    assert client.rig.files() == {}
    last = await client.put(uri, DATA[GRAIN:], f"bytes {GRAIN}-{len(DATA) - 1}/{len(DATA)}")
    assert last.status == 200
    assert client.rig.files() == {"a.csv": DATA}


async def test_a_file_can_be_sent_in_one_request_even_an_empty_one(client: Client) -> None:
    assert (await client.put(await client.uri(len(DATA)), DATA, None)).status == 200
    assert (await client.put(await client.uri(0, name="b.csv"), b"", None)).status == 200
    assert client.rig.files() == {"a.csv": DATA, "b.csv": b""}


async def test_the_offset_of_a_session_can_be_queried(client: Client) -> None:
    uri = await client.uri(len(DATA))
    asked = await client.put(uri, b"", f"bytes */{len(DATA)}")
    assert (asked.status, asked.headers.get("Range")) == (308, None)
    await client.put(uri, DATA[:GRAIN], f"bytes 0-{GRAIN - 1}/{len(DATA)}")
    assert (await client.put(uri, b"", f"bytes */{len(DATA)}")).headers["Range"] == f"bytes=0-{GRAIN - 1}"
    await client.put(uri, DATA[GRAIN:], f"bytes {GRAIN}-{len(DATA) - 1}/{len(DATA)}")
    assert (await client.put(uri, b"", f"bytes */{len(DATA)}")).status == 200


@pytest.mark.parametrize(
    ("given", "data"),
    [
        (f"bytes 0-999/{len(DATA)}", DATA[:1000]),  # not a multiple of 256 KiB
        (f"bytes {GRAIN}-{2 * GRAIN - 1}/{len(DATA)}", DATA[GRAIN : 2 * GRAIN]),  # leaves a hole
        (f"bytes 0-{GRAIN - 1}/{len(DATA)}", DATA[:1000]),  # another length
        (f"bytes 0-{GRAIN - 1}/{len(DATA) + 1}", DATA[:GRAIN]),  # another size
        (f"bytes 0-{GRAIN - 1}", DATA[:GRAIN]),
        ("bytes 0--1/0", b""),
        (f"bytes */{len(DATA)}", b"x"),
        (None, DATA[:1000]),
    ],
)
async def test_parts_google_would_refuse_are_refused_and_change_nothing(
    client: Client, given: str | None, data: bytes
) -> None:
    uri = await client.uri(len(DATA))
    assert (await client.put(uri, data, given)).status == 400
    assert (await client.put(uri, b"", f"bytes */{len(DATA)}")).headers.get("Range") is None


async def test_a_part_of_unknown_length_is_refused(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield DATA[:GRAIN]

    headers = {"Content-Range": f"bytes 0-{GRAIN - 1}/{len(DATA)}"}
    response = await client.ask("PUT", await client.uri(len(DATA)), data=chunks(), headers=headers)
    assert response.status == 411


async def test_whole_grains_of_an_interrupted_part_are_kept(client: Client) -> None:
    uri = URL(await client.uri(len(DATA)))
    _, writer = await asyncio.open_connection("127.0.0.1", client.rig.port)
    head = f"PUT {uri.raw_path_qs} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n"
    writer.write(f"{head}Content-Range: bytes 0-{len(DATA) - 1}/{len(DATA)}\r\n\r\n".encode() + DATA[: GRAIN + 5000])
    await writer.drain()
    writer.close()

    def kept() -> bool:
        found = next(iter(client.rig.server.sessions._open.values()))
        return len(found.received) == GRAIN

    await asyncio.to_thread(eventually, "a grain is kept", kept)
    asked = await client.put(str(uri), b"", f"bytes */{len(DATA)}")
    assert asked.headers["Range"] == f"bytes=0-{GRAIN - 1}"


async def test_a_session_that_expired_or_was_cancelled_is_gone(client: Client) -> None:
    uri = await client.uri(10)
    assert (await client.ask("DELETE", uri)).status == 499
    assert (await client.put(uri, b"x" * 10, None)).status == 404
    uri = await client.uri(10)
    client.rig.server.sessions.expire(410)
    assert (await client.put(uri, b"", "bytes */10")).status == 410


async def test_an_id_is_used_once_and_must_come_from_generate_ids(client: Client) -> None:
    reserved = await client.reserve()
    await client.put(await client.uri(1, id=reserved), b"x", None)
    assert await reason(await client.begin(1, id=reserved)) == (409, "fileIdInUse")
    assert await reason(await client.begin(1, id="made-up")) == (400, "invalid")
    response = await client.ask("GET", f"{FILES}/generateIds", params={"count": "1001"})
    assert response.status == 400


async def test_two_sessions_of_one_id_end_with_one_file(client: Client) -> None:
    reserved = await client.reserve()
    first, second = await client.uri(1, id=reserved), await client.uri(1, id=reserved)
    assert (await client.put(first, b"x", None)).status == 200
    assert await reason(await client.put(second, b"y", None)) == (409, "fileIdInUse")
    assert client.rig.files() == {"a.csv": b"x"}


async def test_new_content_keeps_the_id_and_parents_cannot_be_changed_with_it(client: Client) -> None:
    old = client.rig.server.store.add("a.csv", client.rig.folder.id, "", content=b"old")
    headers = {"X-Upload-Content-Length": "3", "X-Upload-Content-Type": "text/csv"}
    query = {"uploadType": "resumable", **ALL}
    path = f"{UPLOAD}/{old.id}"
    refused = await client.ask("PATCH", path, params=query, headers=headers, json={"parents": ["x"]})
    assert await reason(refused) == (403, "fieldNotWritable")
    started = await client.ask("PATCH", path, params=query, headers=headers, json={})
    assert client.rig.files() == {"a.csv": b"old"}
    done = await client.put(started.headers["Location"], b"new", None)
    assert (await done.json())["id"] == old.id
    assert client.rig.files() == {"a.csv": b"new"}


async def test_shared_drives_need_supports_all_drives(client: Client) -> None:
    item = client.rig.server.store.add("a.csv", client.rig.folder.id, "", content=b"x")
    assert await reason(await client.ask("GET", f"{FILES}/{item.id}")) == (404, "notFound")
    assert (await client.ask("GET", f"{FILES}/{item.id}", params=ALL)).status == 200
    query = {"q": f"'{client.rig.folder.id}' in parents", **ALL}
    assert (await client.ask("GET", FILES, params=query)).status == 404
    listed = await client.ask("GET", FILES, params={**query, "includeItemsFromAllDrives": "true"})
    assert [file["id"] for file in (await listed.json())["files"]] == [item.id]


async def test_fields_are_chosen_and_unknown_ones_refused(client: Client) -> None:
    item = client.rig.server.store.add("a.csv", client.rig.folder.id, "", content=b"abc")
    path = f"{FILES}/{item.id}"
    assert set(await (await client.ask("GET", path, params=ALL)).json()) == {"kind", "id", "name", "mimeType"}
    chosen = await client.ask("GET", path, params={**ALL, "fields": "size,md5Checksum,capabilities(canAddChildren)"})
    assert await chosen.json() == {
        "size": "3",
        "md5Checksum": hashlib.md5(b"abc").hexdigest(),
        "capabilities": {"canAddChildren": False},
    }
    refused = await client.ask("GET", path, params={**ALL, "fields": "checksum"})
    assert await reason(refused) == (400, "invalidParameter")
    assert await (await client.ask("GET", path, params={**ALL, "alt": "media"})).read() == b"abc"


@pytest.mark.parametrize(
    "query",
    ["name = 'a", "name = a", "name = 'it's'", "name like 'a'", "name = 'a' or trashed = true", "", "name = '\\x'"],
)
def test_an_invalid_query_is_refused(query: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_query(query)
    assert caught.value.status == 400


def test_a_query_is_read_with_its_quotes() -> None:
    found = parse_query("name = 'it\\'s a \\\\' and 'abc' in parents and trashed = false")
    assert found == {"name": "it's a \\", "parent": "abc", "trashed": "false"}


async def test_a_service_account_has_no_storage_and_a_person_has(client: Client) -> None:
    mine = client.rig.mine
    mine.roles[SERVICE] = "writer"
    assert await reason(await client.begin(1, parents=[mine.id])) == (403, "storageQuotaExceeded")
    client.token = (await grant(client, refreshing()))[1]["access_token"]
    assert (await client.begin(1, parents=[mine.id])).status == 200
    client.rig.fill()
    assert await reason(await client.begin(1, parents=[mine.id])) == (403, "storageQuotaExceeded")


async def test_a_reader_cannot_add_change_or_delete(client: Client) -> None:
    item = client.rig.server.store.add("a.csv", client.rig.folder.id, "", content=b"x")
    client.rig.folder.roles[SERVICE] = "reader"
    path = f"{FILES}/{item.id}"
    assert await reason(await client.begin(1)) == (403, "insufficientParentPermissions")
    refused = await client.ask("PATCH", path, params=ALL, json={"trashed": True})
    assert await reason(refused) == (403, "insufficientFilePermissions")
    assert await reason(await client.ask("DELETE", path, params=ALL)) == (403, "insufficientFilePermissions")


async def test_only_a_manager_deletes_permanently_from_a_shared_drive(client: Client) -> None:
    item = client.rig.server.store.add("a.csv", client.rig.folder.id, "", content=b"x")
    path = f"{FILES}/{item.id}"
    assert (await client.ask("DELETE", path, params=ALL)).status == 403
    client.rig.folder.roles[SERVICE] = "organizer"
    assert (await client.ask("DELETE", path, params=ALL)).status == 204
    assert (await client.ask("DELETE", path, params=ALL)).status == 404


async def test_a_file_needs_one_existing_folder(client: Client) -> None:
    file = client.rig.server.store.add("a.csv", client.rig.folder.id, "", content=b"x")
    assert (await client.begin(1, parents=["nowhere"])).status == 404
    assert (await client.begin(1, parents=[])).status == 400
    assert await reason(await client.begin(1, parents=[file.id])) == (403, "parentNotAFolder")


async def test_refusals_happen_as_often_as_requested(client: Client) -> None:
    client.rig.server.trouble(Refusal(429, "rateLimitExceeded", "slow", Retry_After="7"), times=1, where=f"GET {FILES}")
    assert (await client.ask("GET", f"{FILES}/generateIds")).status == 200
    refused = await client.ask("GET", FILES)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "7")


def test_the_rig_shows_two_files_of_one_name_as_two(client: Client) -> None:
    for content in (b"1", b"2"):
        client.rig.server.store.add("a.csv", client.rig.folder.id, PERSON, content=content)
    client.rig.server.store.add("folder", client.rig.folder.id, PERSON, mime=FOLDER)
    assert client.rig.files() == {"a.csv": b"1", "second a.csv": b"2"}
