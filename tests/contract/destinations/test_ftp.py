"""FTP: data connections, resumed parts, names on the wire, servers that differ."""

import hashlib
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from services.delivery.destinations.contract import DestinationError, NameTaken
from services.delivery.destinations.egress import Egress, Rules
from services.delivery.destinations.ftp.destination import FtpConfig
from tests.contract.destinations.ftp_trial import SHORT, Watched, delivered, failure, session, verbs
from tests.contract.destinations.payloads import MIB, File, SourceBroken, some
from tests.contract.destinations.rigs.ftp import FtpRig


@pytest.fixture(scope="module")
def started() -> Iterator[FtpRig]:
    rig = FtpRig()
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture
def rig(started: FtpRig) -> FtpRig:
    started.clear()
    return started


async def test_the_address_in_an_answer_to_pasv_is_ignored(rig: FtpRig) -> None:
    rig.answers["EPSV"] = "500 not here"
    rig.handler.masquerade_address = "203.0.113.9"
    watched = Watched()
    try:
        await delivered(rig.config(), File(b"a;b\r\n"), "shop.csv", egress=watched)
    finally:
        rig.handler.masquerade_address = None
    assert rig.files() == {"shop.csv": b"a;b\r\n"}
    assert verbs(rig.commands).count("PASV") == 2
    assert {host for host, _ in watched.went} == {"127.0.0.1"}
    assert verbs(rig.commands).count("EPSV") == 1  # it is not tried again after a refusal


async def test_a_name_is_resolved_once_and_data_connections_use_the_same_address(rig: FtpRig) -> None:
    watched = Watched({"ftp.shop.example": "127.0.0.1"})
    await delivered({**rig.config(), "host": "ftp.shop.example"}, File(b"x"), "shop.csv", egress=watched)
    assert watched.looked_up.count("ftp.shop.example") == 1
    assert [host for host, _ in watched.went] == ["ftp.shop.example", "127.0.0.1", "127.0.0.1"]


async def test_a_forbidden_server_is_never_connected_to(rig: FtpRig) -> None:
    error = await failure(rig.config(), File(b"x"), egress=Egress(Rules()))
    assert (error.step, error.code, error.transient) == ("resolve", "egress_forbidden", False)
    assert rig.commands == []


async def test_a_cut_upload_resumes_where_it_stopped(rig: FtpRig) -> None:
    file = File(some(8 * MIB))
    rig.cut_after(3 * MIB)
    error = await failure(rig.config(), file)
    assert (error.code, error.transient) == ("connection_lost", True)
    assert rig.files() == {}
    await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}
    assert rig.leftovers() == []
    rests = [command for command in rig.commands if command.startswith("REST")]
    assert len(rests) == 1
    assert int(rests[0].split()[1]) >= 3 * MIB


async def test_a_server_that_cannot_resume_gets_the_file_from_the_start(rig: FtpRig) -> None:
    file = File(some(4 * MIB))
    rig.cut_after(2 * MIB)
    await failure(rig.config(), file)
    rig.answers["REST"] = "502 not here"
    await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}


@pytest.mark.parametrize("wrong", [b"y" * 100, b"x" * 99 + b"y", b"x" * 101])
async def test_a_wrong_part_is_never_shown(rig: FtpRig, wrong: bytes) -> None:
    file = File(b"x" * 100)
    rig.folder.mkdir(parents=True)
    (rig.folder / f".{file.delivery_id}.part").write_bytes(wrong)
    if len(wrong) <= 100:
        error = await failure(rig.config(), file)
        assert (error.code, error.transient) == ("content_mismatch", True)
        assert rig.files() == {}
    await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}
    assert rig.leftovers() == []


async def test_verify_size_reads_nothing_back_and_trusts_no_part(rig: FtpRig) -> None:
    file = File(b"x" * 100)
    rig.folder.mkdir(parents=True)
    (rig.folder / f".{file.delivery_id}.part").write_bytes(b"y" * 50)
    await delivered({**rig.config(), "verify": "size"}, file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}
    assert not {"RETR", "REST"} & set(verbs(rig.commands))


async def test_a_file_of_the_same_size_is_compared_by_content_even_with_verify_size(rig: FtpRig) -> None:
    rig.folder.mkdir(parents=True)
    (rig.folder / "shop.csv").write_bytes(b"old")
    async with session({**rig.config(), "verify": "size"}) as opened:
        found = await opened.find("shop.csv")
        assert found is not None
        assert not await opened.matches(found, File(b"new").payload())
        assert await opened.matches(found, File(b"old").payload())


@pytest.mark.parametrize(
    ("feature", "ask", "algorithm"),
    [("HASH MD5;SHA-256*", "HASH", "sha256"), ("XSHA256", "XSHA256", "sha256"), ("XMD5", "XMD5", "md5")],
)
async def test_a_hash_the_server_computes_saves_reading_back(
    rig: FtpRig, feature: str, ask: str, algorithm: str
) -> None:
    file = File(some(1000))
    digest = hashlib.new(algorithm, file.data).hexdigest()
    rig.answers.update({"FEAT": f"211-Features:\r\n {feature}\r\n211 End", "OPTS HASH": "200 ok"})
    rig.answers[ask] = f"250 {digest.upper()} shop.csv"
    sent = await delivered(rig.config(), file, "shop.csv")
    assert sent.reported == {algorithm: digest}
    assert "RETR" not in verbs(rig.commands)
    rig.answers[ask] = f"250 {'0' * len(digest)}"
    assert (await failure(rig.config(), file)).code == "content_mismatch"
    rig.answers[ask] = "502 not for you"
    await delivered(rig.config(), file, "shop.csv")
    assert "RETR" in verbs(rig.commands)


async def test_if_a_server_does_not_rename_over_files_the_old_file_is_set_aside(rig: FtpRig) -> None:
    await delivered(rig.config(), File(b"old"), "shop.csv")
    rig.replaces = False
    await delivered(rig.config(), File(b"new"), "shop.csv")
    assert rig.files() == {"shop.csv": b"new"}
    assert rig.leftovers() == []


async def test_the_file_that_was_set_aside_is_put_back_when_a_delivery_is_given_up(rig: FtpRig) -> None:
    file = File(b"new")
    rig.folder.mkdir(parents=True)
    (rig.folder / f".{file.delivery_id}.old").write_bytes(b"old")
    (rig.folder / f".{file.delivery_id}.part").write_bytes(b"new")
    async with session(rig.config()) as opened:
        await opened.tidy("shop.csv", file.payload())
    assert rig.files() == {"shop.csv": b"old"}
    assert rig.leftovers() == []


async def test_a_name_that_is_taken_costs_no_second_upload(rig: FtpRig) -> None:
    file = File(some(1000))
    await delivered(rig.config(), File(b"theirs", "another"), "shop.csv")
    rig.commands.clear()

    async with session(rig.config()) as opened:
        with pytest.raises(NameTaken):
            await opened.send("shop.csv", file.payload(), replace=False)
        await opened.send("shop (1).csv", file.payload(), replace=False)
    assert rig.files() == {"shop.csv": b"theirs", "shop (1).csv": file.data}
    assert verbs(rig.commands).count("STOR") == 1


@pytest.mark.parametrize("path", ["", "a", "deep er/füße/😀", "/from the root/x", "a/"])
async def test_folders_are_created_level_by_level(rig: FtpRig, path: str) -> None:
    await delivered({**rig.config(), "path": path}, File(b"x"), "shop.csv")
    there = rig.root / "home" / path.lstrip("/") / "shop.csv"
    assert there.read_bytes() == b"x"
    there.unlink()


@pytest.mark.parametrize("name", ["a\r\nDELE shop.csv", "a\nb", "a\x00b", "", "..", "up/../shop.csv"])
async def test_a_name_that_would_be_a_command_never_reaches_the_wire(rig: FtpRig, name: str) -> None:
    await delivered(rig.config(), File(b"x"), "shop.csv")
    rig.commands.clear()
    async with session(rig.config()) as opened:
        for attempt in (
            opened.find(name),
            opened.remove(name),
            opened.send(name, File(b"y").payload(), replace=True),
            opened.tidy(name, File(b"y").payload()),
        ):
            with pytest.raises(DestinationError) as caught:
                await attempt
            assert (caught.value.code, caught.value.transient) == ("bad_name", False)
    assert rig.files() == {"shop.csv": b"x"}
    assert set(verbs(rig.commands)) == {"USER", "PASS", "TYPE", "FEAT", "OPTS", "QUIT"}


@pytest.mark.parametrize("field", ["username", "password", "path", "host"])
def test_a_config_that_would_be_a_command_is_refused(field: str) -> None:
    values = {"host": "ftp.shop.example", "username": "shop", "password": "secret", "path": "x"}
    with pytest.raises(ValidationError):
        FtpConfig.model_validate({**values, field: "a\r\nDELE b"})


async def test_a_failing_source_is_not_the_destinations_fault_and_the_part_is_kept(rig: FtpRig) -> None:
    file = File(some(2 * MIB))
    file.broken_at = MIB
    with pytest.raises(SourceBroken):
        await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {}
    file.broken_at = None
    await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}


async def test_a_session_is_usable_after_a_file_was_read_partially(rig: FtpRig) -> None:
    file = File(some(4 * MIB))
    await delivered(rig.config(), file, "shop.csv")
    async with session(rig.config()) as opened:
        blocks = opened.read("shop.csv")
        first = await anext(blocks)
        assert file.data.startswith(first)
        await blocks.aclose()
        found = await opened.find("shop.csv")
        assert found is not None
        assert found.size == len(file.data)


async def test_a_file_that_a_server_calls_busy_but_not_found_does_not_exist(rig: FtpRig) -> None:
    """rclone's server answers 450 to SIZE of a missing file."""
    async with session(rig.config()) as opened:
        rig.folder.mkdir(parents=True, exist_ok=True)
        rig.answers["SIZE"] = "450 path shop.csv not found"
        assert await opened.find("shop.csv") is None
        rig.answers["SIZE"] = "450 File busy"
        with pytest.raises(DestinationError) as caught:
            await opened.find("shop.csv")
    assert (caught.value.code, caught.value.transient) == ("busy", True)


SILENT = ["USER", "PASS", "TYPE", "FEAT", "CWD", "SIZE", "EPSV", "STOR", "RETR", "RNFR", "RNTO"]


@pytest.mark.parametrize("command", SILENT)
async def test_a_server_that_stops_answering_is_a_timeout(rig: FtpRig, command: str) -> None:
    rig.answers[command] = None
    error = await failure(rig.config(), File(b"x"), timeouts=SHORT)
    assert (error.code, error.transient) == ("stalled", True)
    assert rig.files() == {}


@pytest.mark.parametrize(
    ("command", "answer", "step", "code", "transient"),
    [
        ("USER", "421 Too many connections", "authenticate", "too_many_connections", True),
        ("PASS", "530 Login incorrect.", "authenticate", "wrong_credentials", False),
        ("USER", "530 Non-anonymous sessions must use encryption.", "authenticate", "tls_required", False),
        ("STOR", "550 Permission denied.", "write", "permission_denied", False),
        ("STOR", "553 Could not create file.", "write", "refused", False),
        ("STOR", "552 Exceeded storage allocation", "write", "quota_exceeded", True),
        ("STOR", "452 Error writing file", "write", "no_space", True),
        ("STOR", "550 /x: Disk quota exceeded", "write", "quota_exceeded", True),
        ("STOR", "425 Can't open data connection", "write", "no_data_connection", True),
        ("STOR", "426 Failure writing network stream", "write", "connection_lost", True),
        ("STOR", "450 File busy", "write", "busy", True),
        ("STOR", "501 no", "write", "unsupported", False),
        ("SIZE", "502 not here", "write", "unsupported", False),
        ("SIZE", "213 many", "write", "not_ftp", True),
        ("EPSV", "229 nothing here", "write", "not_ftp", True),
        ("EPSV", "229 Entering Extended Passive Mode (|||1|)", "write", "no_data_connection", True),
        ("RNTO", "550 Permission denied", "write", "permission_denied", False),
        ("MKD", "550 Permission denied", "write", "permission_denied", False),
        ("RETR", "550 Permission denied", "read", "permission_denied", False),
        ("RETR", "550 Failed to open file.", "read", "permission_denied", False),
        ("RNFR", "550 RNFR command failed.", "write", "vanished", True),
        ("STOR", "550 No such file or directory", "write", "no_such_folder", False),
    ],
)
async def test_a_refusal_is_translated_to_an_error(
    rig: FtpRig, command: str, answer: str, step: str, code: str, transient: bool
) -> None:
    rig.answers[command] = answer
    error = await failure(rig.config(), File(b"x"))
    assert (error.step, error.code, error.transient) == (step, code, transient)
    assert rig.files() == {}


async def test_a_password_that_the_server_repeats_is_masked(rig: FtpRig) -> None:
    rig.answers["PASS"] = f"530 {rig.config()['password']} is wrong"
    error = await failure(rig.config(), File(b"x"))
    assert error.code == "wrong_credentials"
    assert rig.config()["password"] not in f"{error} {error.__cause__!r} {error.__cause__.__cause__!r}"  # type: ignore[union-attr]


async def test_a_full_disk_is_reported_as_full(rig: FtpRig) -> None:
    rig.fill()
    file = File(some(8 * MIB))
    error = await failure(rig.config(), file)
    assert (error.code, error.transient) == ("no_space", True)
    rig.unfill()
    await delivered(rig.config(), file, "shop.csv")
    assert rig.files() == {"shop.csv": file.data}
