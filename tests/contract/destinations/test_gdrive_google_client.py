"""Google's own client at the Google Drive of these tests, which must speak Google's protocol, not our reading of it."""

import asyncio
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_auth_httplib2
import httplib2
import pytest
from google.oauth2 import credentials, service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload, build_http

from tests.contract.destinations.gdrive_document import document
from tests.contract.destinations.gdrive_sessions import GRAIN
from tests.contract.destinations.gdrive_store import FOLDER, Refusal
from tests.contract.destinations.gdrive_trial import delivered, session
from tests.contract.destinations.payloads import File, some
from tests.contract.destinations.rigs.gdrive import RIGS, DriveRig

DATA = some(3 * GRAIN + 1000, seed=8)
SCOPES = ["https://www.googleapis.com/auth/drive"]
ON_ALL = {"supportsAllDrives": True}
UNAVAILABLE = Refusal(503, "backendError", "Backend Error")


@pytest.fixture(scope="module", params=RIGS, ids=[rig.kind for rig in RIGS])
def running(request: pytest.FixtureRequest) -> Iterator[DriveRig]:
    rig: DriveRig = request.param
    rig.start()
    yield rig
    rig.stop()


@dataclass
class Google:
    """Google's client, logged in as the rig's account."""

    rig: DriveRig
    files: Any

    def create(self, name: str, media: MediaIoBaseUpload | None, **body: Any) -> Any:
        described = {"name": name, "parents": [self.rig.folder.id], **body}
        return self.files.create(body=described, media_body=media, fields="id,size,sha256Checksum", **ON_ALL)

    def names(self, query: str, **more: Any) -> list[str]:
        """The names of a folder's files, page by page."""
        found: list[str] = []
        asked = self.files.list(
            q=f"'{self.rig.folder.id}' in parents and {query}", includeItemsFromAllDrives=True, **ON_ALL, **more
        )
        while asked is not None:
            page = asked.execute()
            found += [file["name"] for file in page["files"]]
            asked = self.files.list_next(asked, page)
        return found

    def content(self, file_id: str) -> bytes:
        """A file's bytes, in several requests."""
        target, done = io.BytesIO(), False
        download = MediaIoBaseDownload(target, self.files.get_media(fileId=file_id, **ON_ALL), chunksize=GRAIN)
        while not done:
            _, done = download.next_chunk()
        return target.getvalue()


@pytest.fixture
def google(running: DriveRig) -> Google:
    running.clear()
    info = running.config()["credentials"]
    login: Any
    untyped: Any = service_account.Credentials if running.kind == "service" else credentials.Credentials
    if running.kind == "service":
        login = untyped.from_service_account_info(info, scopes=SCOPES)
    else:
        login = untyped.from_authorized_user_info(info, SCOPES)
        login._token_uri = info["token_uri"]  # it only knows Google's own
    here = {**document(), "rootUrl": f"http://127.0.0.1:{running.port}/"}
    http = google_auth_httplib2.AuthorizedHttp(login, http=build_http())
    return Google(running, build_from_document(here, http=http).files())


def media(data: bytes, *, resumable: bool = True) -> MediaIoBaseUpload:
    return MediaIoBaseUpload(io.BytesIO(data), "text/csv", chunksize=GRAIN, resumable=resumable)


def test_a_file_is_uploaded_in_parts_listed_and_read(google: Google) -> None:
    made = google.create("a.csv", media(DATA)).execute()
    assert google.rig.files() == {"a.csv": DATA}
    assert made == {"id": made["id"], "size": str(len(DATA)), "sha256Checksum": File(DATA).payload().sha256}
    assert google.names("name = 'a.csv' and trashed = false") == ["a.csv"]
    assert google.content(made["id"]) == DATA
    assert google.rig.server.sessions.parts[0] == f"0-{GRAIN - 1}"


def test_an_interrupted_upload_is_resumed_where_the_server_says(google: Google) -> None:
    upload = google.create("a.csv", media(DATA))
    upload.next_chunk()
    google.rig.server.sessions.keep_at_most = 1000
    upload.next_chunk()
    google.rig.server.sessions.keep_at_most = None
    google.rig.server.trouble(UNAVAILABLE, where="PUT .*")
    with pytest.raises(HttpError, match="Backend Error"):
        upload.next_chunk()
    assert google.rig.files() == {}
    upload.execute()
    assert google.rig.files() == {"a.csv": DATA}
    assert f"{GRAIN + 1000}-{2 * GRAIN + 999}" in google.rig.server.sessions.parts


@pytest.mark.parametrize("data", [b"", b"id\r\n1\r\n"], ids=["empty", "small"])
@pytest.mark.parametrize("resumable", [True, False], ids=["resumable", "in one request"])
def test_a_small_file_may_be_sent_in_any_way(google: Google, data: bytes, *, resumable: bool) -> None:
    google.create("a.csv", media(data, resumable=resumable)).execute()
    assert google.rig.files() == {"a.csv": data}


def test_a_file_is_created_once_under_a_reserved_id(google: Google) -> None:
    [reserved] = google.files.generateIds(count=1, space="drive").execute()["ids"]
    assert google.create("a.csv", media(DATA), id=reserved).execute()["id"] == reserved
    with pytest.raises(HttpError) as caught:
        google.create("a.csv", media(DATA), id=reserved).execute()
    assert caught.value.status_code == 409


def test_a_file_is_renamed_replaced_moved_to_the_trash_and_listed_in_pages(google: Google) -> None:
    ids = [google.create(f"{name}.csv", media(b"1")).execute()["id"] for name in "cab"]
    google.files.create(body={"name": "f", "mimeType": FOLDER, "parents": [google.rig.folder.id]}, **ON_ALL).execute()
    files = f"mimeType != '{FOLDER}' and trashed = false"
    assert google.names(files, orderBy="name", pageSize=2) == ["a.csv", "b.csv", "c.csv"]
    google.files.update(fileId=ids[0], body={"name": "d.csv"}, media_body=media(DATA), **ON_ALL).execute()
    google.files.update(fileId=ids[0], body={"name": "e.csv"}, **ON_ALL).execute()
    google.files.update(fileId=ids[1], body={"trashed": True}, **ON_ALL).execute()
    assert google.names(files, orderBy="name desc") == ["e.csv", "b.csv"]
    assert google.content(ids[0]) == DATA


async def test_what_we_deliver_google_reads_and_the_other_way_round(google: Google) -> None:
    file = File(DATA)
    sent = await delivered(google.rig, file, "ours.csv")
    assert await asyncio.to_thread(google.content, sent.remote) == DATA
    await asyncio.to_thread(google.create("theirs.csv", media(DATA)).execute)
    async with session(google.rig) as opened:
        found = await opened.find("theirs.csv")
        assert found is not None
        assert await opened.matches(found, file.payload())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (("GET", "files", "?supportsAllDrive=true", b""), 400),
        (("GET", "files", "?supportsAllDrives=yes", b""), 400),
        (("GET", "files", "?pageSize=1001", b""), 400),
        (("GET", "files", "?fields=files(id,checksum)", b""), 400),
        (("GET", "files/generateIds", "?supportsAllDrives=true", b""), 400),
        (("POST", "files", "", b'{"nam": "a.csv"}'), 400),
        (("POST", "files", "", b'{"parents": "a"}'), 400),
        (("PUT", "files/1", "", b"{}"), 404),
    ],
)
def test_a_request_that_is_not_in_googles_document_is_refused(
    google: Google, asked: tuple[str, str, str, bytes], status: int
) -> None:
    method, path, query, body = asked
    where = f"http://127.0.0.1:{google.rig.port}/drive/v3/{path}{query}"
    answer, _ = httplib2.Http(timeout=10).request(where, method, body, {"content-type": "application/json"})
    assert answer.status == status
