"""Google Drive: credentials, tokens, and their errors."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.local.servers import free_port
from services.chassis.faults import BadRequest
from services.chassis.networks import parse_networks
from services.delivery.destinations.contract import DestinationError, InvalidField
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.destinations.gdrive.destination import DriveConfig, Endpoints, GoogleDrive
from services.delivery.destinations.gdrive.http import DriveTimeouts
from services.delivery.platforms.config import checked, prepared, split
from tests.contract.destinations.gdrive_login import new_key
from tests.contract.destinations.gdrive_store import Refusal
from tests.contract.destinations.gdrive_trial import DATA, LOOPBACK, NAME, delivered, failure, session
from tests.contract.destinations.payloads import File, MemoryNotes
from tests.contract.destinations.rigs.gdrive import REFRESH, SECRET, SERVICE, DriveRig

CANARY = "canary-4711"
USER = {"type": "authorized_user", "client_id": "c", "client_secret": CANARY, "refresh_token": "r"}


@pytest.fixture(scope="module")
def service_server() -> Iterator[DriveRig]:
    rig = DriveRig("service")
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def person_server() -> Iterator[DriveRig]:
    rig = DriveRig("person")
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
def rig(service_server: DriveRig) -> DriveRig:
    service_server.clear()
    return service_server


@pytest.fixture
def person(person_server: DriveRig) -> DriveRig:
    person_server.clear()
    return person_server


async def refusal(rig: DriveRig, egress: Egress = LOOPBACK, **change: Any) -> DestinationError:
    """The error of opening a session."""
    with pytest.raises(DestinationError) as caught:
        async with session(rig, egress, **change):
            pass
    return caught.value


def complaint(**values: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        prepared(DriveConfig, {"folder_id": "abc", **values})
    assert CANARY not in str(caught.value)
    assert CANARY not in repr([(v.field, v.message) for v in caught.value.violations])
    return " ".join(f"{v.field} {v.message}" for v in caught.value.violations)


async def test_credentials_may_be_an_object_or_its_text_and_are_stored_as_a_secret(rig: DriveRig) -> None:
    given = rig.config()["credentials"]
    for form in (given, json.dumps(given), json.dumps(given, indent=2)):
        config = DriveConfig.model_validate({"credentials": form, "folder_id": "abc"})
        plain, secrets = split(config)
        assert plain == {"folder_id": "abc"}
        assert json.loads(secrets["credentials"]) == given
        assert given["private_key"] not in repr(config)
        assert checked(DriveConfig, {**plain, **secrets}) == config


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (f"{{{CANARY}", "is not JSON"),
        ([CANARY], "must be a JSON object"),
        (json.dumps([CANARY]), "type must be service_account or authorized_user"),
        ({"client_secret": CANARY}, "type must be service_account or authorized_user"),
        ({"installed": {"client_secret": CANARY}}, "is only an OAuth client"),
        ({"type": "service_account", "client_email": CANARY}, "lacks private_key"),
        ({"type": "service_account", "private_key": CANARY}, "lacks client_email"),
        ({"type": "service_account", "client_email": "a@b", "private_key": CANARY}, "private_key is not an RSA key"),
        ({"type": "authorized_user", "client_secret": CANARY}, "lacks client_id, refresh_token"),
        ({**USER, "client_id": 7}, "lacks client_id"),
        (CANARY * 3000, "has more than 20,000 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 and CANARY not in value else "",
)
def test_mistakes_in_credentials_are_reported_without_secrets(credentials: object, said: str) -> None:
    assert said in complaint(credentials=credentials)
    with pytest.raises((ValidationError, InvalidField)) as caught:
        DriveConfig.model_validate({"credentials": credentials, "folder_id": "abc"}).prepared()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "1AbC_-9",
        "https://drive.google.com/drive/folders/1AbC_-9",
        "https://drive.google.com/drive/u/0/folders/1AbC_-9?usp=sharing",
    ],
)
def test_a_folder_may_be_given_by_its_url(given: str) -> None:
    assert DriveConfig.model_validate({"credentials": USER, "folder_id": given}).folder_id == "1AbC_-9"


@pytest.mark.parametrize("given", ["", "a b", "a'b", "../x", "https://example.com/folders/1", "ä", "x\n"])
def test_an_invalid_folder_id_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        DriveConfig.model_validate({"credentials": USER, "folder_id": given})


async def test_a_revoked_key_and_an_unknown_account_are_wrong_credentials(rig: DriveRig) -> None:
    rig.server.logins.service_keys[SERVICE] = new_key().public
    error = await refusal(rig)
    assert (error.step, error.code, error.transient) == ("authenticate", "wrong_credentials", False)
    assert "Invalid JWT Signature" in error.message
    rig.server.logins.service_keys.clear()
    assert (await refusal(rig)).code == "wrong_credentials"


@pytest.mark.parametrize("change", [{"client_secret": "x"}, {"refresh_token": "x"}, {"client_id": "x"}])
async def test_a_revoked_consent_is_wrong_credentials(person: DriveRig, change: dict[str, str]) -> None:
    error = await refusal(person, credentials={**person.config()["credentials"], **change})
    assert (error.step, error.code, error.transient) == ("authenticate", "wrong_credentials", False)
    assert not [word for word in (SECRET, REFRESH) if word in error.message]


async def test_a_wrong_clock_is_reported(rig: DriveRig, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("services.delivery.destinations.gdrive.tokens.time.time", lambda: now)
    monkeypatch.setattr("tests.contract.destinations.gdrive_login.time", _Clock(now + 7200))
    error = await refusal(rig)
    assert (error.code, error.transient) == ("clock_wrong", False)


class _Clock:
    def __init__(self, now: float) -> None:
        self._now = now

    def time(self) -> float:
        return self._now


async def test_a_token_request_is_repeated_while_google_is_busy(rig: DriveRig) -> None:
    busy = Refusal(503, "backendError", "Backend Error")
    rig.server.trouble(busy, times=2, where="POST /token")
    await delivered(rig, File(DATA))
    rig.server.trouble(busy, times=9, where="POST /token")
    error = await refusal(rig)
    assert (error.code, error.transient) == ("server_error", True)


async def test_one_token_is_enough_for_a_session(rig: DriveRig) -> None:
    await delivered(rig, File(DATA))
    assert rig.server.logins.given == 1


async def test_a_token_is_replaced_before_it_expires(rig: DriveRig) -> None:
    rig.server.logins.lifetime = 60
    await delivered(rig, File(DATA))
    assert rig.server.logins.given > 1


@pytest.mark.parametrize("offset", [0, 400_000])
async def test_a_refused_token_is_replaced_even_while_sending(rig: DriveRig, offset: int) -> None:
    file = File(DATA)
    source = file.payload().read
    seen = 0

    async def revoking(start: int) -> Any:
        nonlocal seen
        async for chunk in source(start):
            if seen <= offset < seen + len(chunk):
                rig.server.logins.forget_tokens()
            seen += len(chunk)
            yield chunk

    async with session(rig) as opened:
        await opened.send(NAME, file.payload(read=revoking), replace=True)
    assert rig.files() == {NAME: DATA}
    assert rig.server.logins.given == 2


async def test_tokens_that_are_always_refused_are_wrong_credentials(rig: DriveRig) -> None:
    rig.server.trouble(Refusal(401, "authError", "Invalid Credentials"), times=99, where="GET .*")
    error = await failure(rig, File(DATA))
    assert (error.step, error.code, error.transient) == ("authenticate", "wrong_credentials", False)


async def test_the_api_is_checked_by_the_egress_rules_too(rig: DriveRig) -> None:
    """Tokens come from an allowed address; the API has a name with a forbidden one."""

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "tokens.test" else ["169.254.169.254"]

    config = rig.config()
    config["credentials"]["token_uri"] = f"http://tokens.test:{rig.port}/token"
    egress = Egress(Rules(allow=parse_networks("127.0.0.0/8")), lookup)
    drive = GoogleDrive(lambda found: Endpoints(found.token_uri, f"http://api.test:{rig.port}"), DriveTimeouts())
    async with drive.open(DriveConfig.model_validate(config), egress, MemoryNotes()) as opened:
        with pytest.raises(DestinationError) as caught:
            await opened.find(NAME)
    assert (caught.value.step, caught.value.code) == ("resolve", "egress_forbidden")


async def test_a_token_endpoint_without_an_address_is_a_transient_fault(rig: DriveRig) -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        return []

    config = rig.config()
    config["credentials"]["token_uri"] = "http://tokens.test/token"
    error = await refusal(rig, Egress(Rules(), nowhere), **config)
    assert (error.step, error.code, error.transient) == ("resolve", "unresolved", True)


async def test_an_api_that_does_not_listen_is_unreachable(rig: DriveRig) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    drive = GoogleDrive(lambda found: Endpoints(found.token_uri, nobody), DriveTimeouts())
    async with drive.open(DriveConfig.model_validate(rig.config()), LOOPBACK, MemoryNotes()) as opened:
        with pytest.raises(DestinationError) as caught:
            await opened.find(NAME)
    assert (caught.value.step, caught.value.code, caught.value.transient) == ("connect", "unreachable", True)
