"""Google Drive: ids instead of names, upload sessions, shared drives, quotas and rate limits."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from services.delivery.destinations.contract import DestinationError, NameTaken
from services.delivery.destinations.gdrive.destination import GOOGLE, GoogleDrive
from services.delivery.destinations.gdrive.session import NOTE
from services.delivery.destinations.gdrive.upload import GRAIN
from tests.contract.destinations.gdrive_store import FOLDER, Refusal
from tests.contract.destinations.gdrive_trial import BUSY, DATA, NAME, OTHER, delivered, failure, noted, session
from tests.contract.destinations.payloads import File, SourceBroken
from tests.contract.destinations.rigs.gdrive import PERSON, SERVICE, DriveRig

UPLOAD = "(POST|PATCH) /upload/.*"
PUT = "PUT .*"


def served(kind: Any) -> Iterator[DriveRig]:
    rig = DriveRig(kind)
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def service_server() -> Iterator[DriveRig]:
    yield from served("service")


@pytest.fixture(scope="module")
def person_server() -> Iterator[DriveRig]:
    yield from served("person")


@pytest.fixture
def rig(service_server: DriveRig) -> DriveRig:
    """A service account on a shared drive."""
    service_server.clear()
    return service_server


@pytest.fixture
def person(person_server: DriveRig) -> DriveRig:
    person_server.clear()
    return person_server


async def test_the_receipt_has_drives_id_hashes_and_url(rig: DriveRig) -> None:
    sent = await delivered(rig, File(DATA))
    item = rig.server.store.items[sent.remote]
    described = rig.server.store.describe(item, rig.account)
    assert sent.url == described["webViewLink"]
    assert (sent.reported["md5"], sent.reported["sha256"]) == (described["md5Checksum"], described["sha256Checksum"])
    assert (item.name, item.mime, item.parent) == (NAME, "text/csv", rig.folder.id)


async def test_the_id_and_the_session_are_kept_before_anything_is_sent(rig: DriveRig) -> None:
    file = File(DATA)
    rig.server.trouble(Refusal(400, "badRequest", "no"), where=UPLOAD)
    await failure(rig, file)
    before = noted(file)
    assert before["target"]["new"]
    assert before["uri"] == ""
    file.broken_at = 2 * GRAIN
    with pytest.raises(SourceBroken):
        await delivered(rig, file)
    assert noted(file)["target"] == before["target"]
    assert "upload_id=" in noted(file)["uri"]
    file.broken_at = None
    assert (await delivered(rig, file)).remote == before["target"]["id"]
    assert rig.server.sessions.started == 1
    assert noted(file)["uri"] == ""


async def test_an_upload_resumes_where_it_stopped(rig: DriveRig) -> None:
    file = File(DATA)
    file.broken_at = 2 * GRAIN
    with pytest.raises(SourceBroken):
        await delivered(rig, file)
    file.broken_at = None
    await delivered(rig, file)
    assert rig.server.sessions.parts == ["0-262143", "262144-524287", "524288-699999"]


async def test_bytes_that_drive_kept_of_a_part_are_not_sent_again(rig: DriveRig) -> None:
    sessions = rig.server.sessions
    sessions.keep_at_most = GRAIN
    async with session(rig, part=3 * GRAIN) as opened:
        await opened.send(NAME, File(OTHER).payload(), replace=True)
    assert sessions.parts == ["0-786431", "262144-786431", "524288-786431", "786432-899999"]
    assert rig.files() == {NAME: OTHER}


@pytest.mark.parametrize("status", [404, 410])
async def test_an_expired_session_is_replaced_under_the_same_id(rig: DriveRig, status: int) -> None:
    file = File(DATA)
    file.broken_at = 2 * GRAIN
    with pytest.raises(SourceBroken):
        await delivered(rig, file)
    reserved = noted(file)["target"]["id"]
    rig.server.sessions.expire(status)
    file.broken_at = None
    assert (await delivered(rig, file)).remote == reserved
    assert rig.files() == {NAME: DATA}


async def test_sessions_that_always_end_are_a_transient_fault(rig: DriveRig) -> None:
    rig.server.trouble(Refusal(404, "notFound", "gone"), times=100, where=PUT)
    error = await failure(rig, File(DATA))
    assert (error.step, error.code, error.transient) == ("write", "session_expired", True)


async def test_a_success_whose_answer_was_lost_makes_no_second_file_even_without_a_search(
    rig: DriveRig,
) -> None:
    file = File(DATA)
    first = await delivered(rig, file, replace=False)
    again = await delivered(rig, file, replace=False)
    assert again == first
    assert rig.files() == {NAME: DATA}
    assert rig.server.sessions.started == 1


async def test_two_concurrent_attempts_end_with_one_file(rig: DriveRig) -> None:
    """The last part of the first attempt arrives while the second one is sending: Drive answers 409."""
    file = File(DATA)
    whole = file.payload()

    async def overtaken(offset: int) -> AsyncIterator[bytes]:
        async for chunk in whole.read(offset):
            yield chunk
        if rig.server.sessions.started == 1:
            kept = dict(file.notes.kept)
            kept[NOTE] = kept[NOTE].replace(noted(file)["uri"], "")
            other = File(DATA)
            other.notes.kept = kept
            await delivered(rig, other)

    async with session(rig) as opened:
        sent = await opened.send(NAME, file.payload(read=overtaken), replace=True)
    assert rig.server.sessions.started == 2
    assert rig.files() == {NAME: DATA}
    assert list(rig.server.store.items).count(sent.remote) == 1


async def test_an_id_whose_file_was_deleted_is_replaced_by_another(rig: DriveRig) -> None:
    file = File(DATA)
    first = await delivered(rig, file)
    del rig.server.store.items[first.remote]
    rig.server.store.gone.add(first.remote)
    second = await delivered(rig, file)
    assert second.remote != first.remote
    assert rig.files() == {NAME: DATA}


async def test_a_file_in_the_trash_is_ignored(rig: DriveRig) -> None:
    file = File(DATA)
    first = await delivered(rig, file)
    rig.server.store.items[first.remote].trashed = True
    async with session(rig) as opened:
        assert await opened.find(NAME) is None
    assert (await delivered(rig, file)).remote != first.remote


async def test_replacing_keeps_the_id_so_that_links_stay_valid(rig: DriveRig) -> None:
    first = await delivered(rig, File(DATA, "first"))
    second = await delivered(rig, File(OTHER, "second"))
    assert second.remote == first.remote
    assert rig.files() == {NAME: OTHER}


async def test_of_several_files_of_a_name_only_the_last_modified_is_replaced(rig: DriveRig) -> None:
    older = rig.server.store.add(NAME, rig.folder.id, "", content=b"older")
    newer = rig.server.store.add(NAME, rig.folder.id, "", content=b"newer")
    assert (await delivered(rig, File(DATA))).remote == newer.id
    assert older.content == b"older"


async def test_names_that_differ_by_case_and_folders_are_not_the_file(rig: DriveRig) -> None:
    rig.server.store.add(NAME.upper(), rig.folder.id, "", content=b"loud")
    rig.server.store.add(NAME, rig.folder.id, "", mime=FOLDER)
    async with session(rig) as opened:
        assert await opened.find(NAME) is None
    await delivered(rig, File(DATA), replace=False)
    assert rig.files() == {NAME: DATA, NAME.upper(): b"loud"}


async def test_a_file_is_found_on_a_later_page(rig: DriveRig) -> None:
    wanted = rig.server.store.add(NAME, rig.folder.id, "", content=b"found")
    for _ in range(150):
        rig.server.store.add(NAME.upper(), rig.folder.id, "", content=b"")
    async with session(rig) as opened:
        found = await opened.find(NAME)
    assert found is not None
    assert found.remote == wanted.id


@pytest.mark.parametrize("name", ["it's.csv", "back\\slash.csv", "both\\'.csv", "' or trashed = true or name = '.csv"])
async def test_a_name_cannot_end_the_query(rig: DriveRig, name: str) -> None:
    await delivered(rig, File(DATA), name)
    async with session(rig) as opened:
        assert await opened.find(name) is not None
        with pytest.raises(NameTaken):
            await opened.send(name, File(OTHER, "other").payload(), replace=False)


async def test_a_file_that_may_not_be_deleted_goes_to_the_trash(rig: DriveRig) -> None:
    sent = await delivered(rig, File(DATA))
    async with session(rig) as opened:
        await opened.remove(NAME)
    assert rig.server.store.items[sent.remote].trashed


async def test_a_person_deletes_permanently(person: DriveRig) -> None:
    sent = await delivered(person, File(DATA))
    async with session(person) as opened:
        await opened.remove(NAME)
    assert sent.remote not in person.server.store.items


async def test_the_error_for_a_service_account_without_a_shared_drive_recommends_one(rig: DriveRig) -> None:
    rig.mine.roles[SERVICE] = "writer"
    error = await failure(rig, File(DATA), folder_id=rig.mine.id)
    assert (error.step, error.code, error.transient) == ("write", "service_account_without_quota", False)
    assert "shared drive" in error.message


async def test_a_full_shared_drive_is_not_the_service_accounts_fault(rig: DriveRig) -> None:
    rig.fill()
    error = await failure(rig, File(DATA))
    assert (error.step, error.code, error.transient) == ("write", "quota_exceeded", True)


async def test_a_drive_that_fills_up_while_sending_shows_nothing(person: DriveRig) -> None:
    file = File(DATA)

    async def filling(offset: int) -> AsyncIterator[bytes]:
        async for chunk in file.payload().read(offset):
            yield chunk
            person.fill()

    async with session(person) as opened:
        with pytest.raises(DestinationError) as caught:
            await opened.send(NAME, file.payload(read=filling), replace=True)
    assert caught.value.code == "quota_exceeded"
    assert person.files() == {}
    person.unfill()
    await delivered(person, file)
    assert person.files() == {NAME: DATA}


async def test_the_error_for_a_folder_that_is_not_shared_names_the_account(rig: DriveRig) -> None:
    error = await failure(rig, File(DATA), folder_id=rig.mine.id)
    assert (error.step, error.code, error.transient) == ("write", "no_such_folder", False)
    assert SERVICE in error.message
    async with session(rig, folder_id=rig.mine.id) as opened:
        with pytest.raises(DestinationError, match="no folder"):
            await opened.find(NAME)


async def test_a_folder_that_is_a_file_or_in_the_trash_is_refused(rig: DriveRig) -> None:
    file = rig.server.store.add("x", rig.folder.id, "", content=b"x")
    assert (await failure(rig, File(DATA), folder_id=file.id)).code == "not_a_folder"
    rig.folder.trashed = True
    assert (await failure(rig, File(DATA))).code == "no_such_folder"


async def test_a_reader_of_the_folder_may_not_write(rig: DriveRig) -> None:
    rig.folder.roles[SERVICE] = "reader"
    error = await failure(rig, File(DATA))
    assert (error.step, error.code, error.transient) == ("write", "permission_denied", False)
    assert SERVICE in error.message
    assert rig.server.sessions.started == 0


@pytest.mark.parametrize("where", [PUT, UPLOAD, "GET .*"])
@pytest.mark.parametrize(
    "refusal",
    [
        BUSY,
        Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded", "usageLimits"),
        Refusal(429, "rateLimitExceeded", "Too many requests"),
        Refusal(503, "backendError", "Backend Error", Retry_After="0"),
        Refusal(500, "internalError", "Internal Error"),
    ],
    ids=lambda refusal: f"{refusal.status}-{refusal.body['error']['errors'][0]['reason']}",
)
async def test_a_request_is_repeated_while_google_is_busy(rig: DriveRig, refusal: Refusal, where: str) -> None:
    rig.server.trouble(refusal, times=2, where=where)
    await delivered(rig, File(DATA))
    assert rig.files() == {NAME: DATA}


@pytest.mark.parametrize("where", [PUT, UPLOAD, "GET .*"])
async def test_a_long_busy_time_is_a_transient_fault(rig: DriveRig, where: str) -> None:
    rig.server.trouble(BUSY, times=100, where=where)
    error = await failure(rig, File(DATA))
    assert (error.code, error.transient) == ("rate_limited", True)


async def test_a_long_retry_after_is_left_to_the_next_attempt(rig: DriveRig) -> None:
    rig.server.trouble(Refusal(429, "rateLimitExceeded", "later", Retry_After="3600"), where=PUT)
    error = await failure(rig, File(DATA))
    assert (error.code, error.transient) == ("rate_limited", True)


async def test_retry_after_is_respected(rig: DriveRig) -> None:
    rig.server.trouble(Refusal(429, "rateLimitExceeded", "later", Retry_After="1"), where=UPLOAD)
    started = time.monotonic()
    await delivered(rig, File(DATA))
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize(
    ("refusal", "code", "transient"),
    [
        (Refusal(403, "teamDriveFileLimitExceeded", "limit"), "folder_full", False),
        (Refusal(403, "accessNotConfigured", "Drive API has not been used", "usageLimits"), "api_not_enabled", False),
        (Refusal(403, "insufficientPermissions", "insufficient authentication scopes"), "insufficient_scope", False),
        (Refusal(403, "insufficientFilePermissions", "no"), "permission_denied", False),
        (Refusal(403, "dailyLimitExceeded", "Daily Limit", "usageLimits"), "rate_limited", True),
        (Refusal(418, "teapot", "no coffee"), "refused", False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_refusals_are_translated_to_errors(rig: DriveRig, refusal: Refusal, code: str, transient: bool) -> None:
    rig.server.trouble(refusal, times=9, where=UPLOAD)
    error = await failure(rig, File(DATA))
    assert (error.code, error.transient) == (code, transient)
    assert str(refusal) in error.message


async def test_content_that_changed_on_the_way_is_deleted_and_sent_again(
    rig: DriveRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(DATA)
    finish = rig.server.sessions._finish

    def spoilt(upload: Any) -> None:
        upload.received[0] ^= 1
        finish(upload)

    with monkeypatch.context() as lying:
        lying.setattr(rig.server.sessions, "_finish", spoilt)
        error = await failure(rig, file)
    assert (error.step, error.code, error.transient) == ("write", "content_mismatch", True)
    assert rig.files() == {}
    await delivered(rig, file)
    assert rig.files() == {NAME: DATA}


async def test_without_sha256_the_md5_is_compared(rig: DriveRig, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = rig.server.store.describe

    def without(*of: Any) -> dict[str, Any]:
        return {key: value for key, value in describe(*of).items() if key != "sha256Checksum"}

    monkeypatch.setattr(rig.server.store, "describe", without)
    file = File(DATA)
    await delivered(rig, file)
    async with session(rig) as opened:
        found = await opened.find(NAME)
        assert found is not None
        assert "sha256" not in found.reported
        assert await opened.matches(found, file.payload())
        assert not await opened.matches(found, File(DATA[:-1] + b"x").payload())


async def test_giving_up_cancels_the_session_and_deletes_its_note(rig: DriveRig) -> None:
    file = File(DATA)
    file.broken_at = 2 * GRAIN
    with pytest.raises(SourceBroken):
        await delivered(rig, file)
    assert len(rig.leftovers()) == 1
    async with session(rig) as opened:
        await opened.tidy(NAME, file.payload())
    assert rig.leftovers() == []
    assert file.notes.kept == {}


async def test_another_name_or_folder_uses_another_id_and_cancels_the_old_session(rig: DriveRig) -> None:
    file = File(DATA)
    file.broken_at = 2 * GRAIN
    with pytest.raises(SourceBroken):
        await delivered(rig, file)
    reserved = noted(file)["target"]["id"]
    file.broken_at = None
    assert (await delivered(rig, file, "other.csv")).remote != reserved
    assert rig.leftovers() == []
    assert rig.files() == {"other.csv": DATA}


async def test_a_session_at_another_server_is_not_given_the_token(
    rig: DriveRig, person: DriveRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(DATA)
    file.broken_at = 2 * GRAIN
    with pytest.raises(SourceBroken):
        await delivered(rig, file)
    file.notes.kept[NOTE] = file.notes.kept[NOTE].replace(f":{rig.port}/", f":{person.port}/")
    tokens: list[str] = []
    monkeypatch.setattr(person.server, "_who", lambda request: tokens.append(request.headers["Authorization"]))
    file.broken_at = None
    await delivered(rig, file)
    assert "PUT /upload/drive/v3/files" in person.server.calls
    assert tokens == []


def test_the_registered_type_ignores_the_token_uri_of_credentials(rig: DriveRig) -> None:
    config = GoogleDrive.Config.model_validate(rig.config())
    assert GoogleDrive().address(config) == ("oauth2.googleapis.com", 443)
    assert all(url.startswith("https://") and "googleapis.com" in url for url in (GOOGLE.tokens, GOOGLE.api))


def test_a_part_must_be_a_multiple_of_256_kib() -> None:
    with pytest.raises(ValueError, match="262144"):
        GoogleDrive(part=1000)


async def test_a_person_needs_no_shared_drive(person: DriveRig) -> None:
    sent = await delivered(person, File(DATA))
    assert person.server.store.items[sent.remote].owner == PERSON
