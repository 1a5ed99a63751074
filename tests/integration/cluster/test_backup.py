"""Backups are stored, kept and restored by the component's own commands, against MongoDB as in production."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from tests.blob_stores import new_prefix
from tests.certificates import Authority
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.chassis.certified import Services, api_key
from tests.integration.cluster import backup_job
from tests.integration.cluster.backup_job import Ended
from tests.integration.cluster.data_plane import DataPlane
from tests.integration.exporting import eventually, products
from tests.real_servers import seaweedfs

pytestmark = pytest.mark.full

TENANT = "acme"
OURS = ("exporter", "delivery", "scheduler", "gateway", "audit", f"catalogue_{TENANT}")


class Backups:
    """The two Jobs, with a bucket and with MongoDB as in production."""

    def __init__(self, plane: DataPlane, folder: Path) -> None:
        self.plane = plane
        self._folder = folder
        self._runs = 0
        self._server = seaweedfs()
        self.url = new_prefix(self._server)

    def run(self, name: str, **variables: str) -> Ended:
        self._runs += 1
        config = {"ARTIFACTS_URL": self.url, "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL_S3": self._server.url}
        given = {
            "AWS_ACCESS_KEY_ID": self._server.access_key,
            "AWS_SECRET_ACCESS_KEY": self._server.secret_key,
            "BACKUP_MONGODB_URI": self.plane.backup_uri,
            **variables,
        }
        folder, paths = self._folder / str(self._runs), {"/keyfile/keyfile": self.plane.key_file}
        return backup_job.run(name, folder, config, given, paths)

    def names(self) -> list[str]:
        """What is in the bucket, the oldest first."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        found = self._server.client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}-backups/")
        return sorted(entry["Key"].rpartition("/")[2] for entry in found.get("Contents", ()))

    def put(self, name: str) -> None:
        """Another object in the folder of the backups."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        self._server.client.put_object(Bucket=bucket, Key=f"{prefix}-backups/{name}", Body=b"x")


@pytest.fixture
def backups(plane: DataPlane, tmp_path: Path) -> Iterator[Backups]:
    with plane.mongodb():
        plane.initiate()
        yield Backups(plane, tmp_path / "jobs")


def dropped(member: MongoClient[dict[str, Any]]) -> None:
    for name in OURS:
        member.drop_database(name)


def test_the_user_of_backups_reads_everything_and_writes_nothing(backups: Backups) -> None:
    with backups.plane.as_member() as member:
        for name in OURS:
            member[name]["things"].insert_one({"_id": 1})
    with MongoClient[dict[str, Any]](backups.plane.backup_uri, serverSelectionTimeoutMS=10_000) as client:
        for name in OURS:
            assert client[name]["things"].find_one() == {"_id": 1}
            for write in (lambda things: things.insert_one({}), lambda things: things.drop()):
                with pytest.raises(OperationFailure, match="not authorized"):
                    write(client[name]["things"])  # type: ignore[no-untyped-call]  # a lambda
        assert client["local"]["oplog.rs"].find_one() is not None


def test_backups_are_kept_for_their_number_and_a_failed_one_is_not_stored(backups: Backups) -> None:
    for day in range(1, 4):
        backups.put(f"2026-01-0{day}T01-47-00Z.archive.gz")
    backups.put("note.txt")
    made = backups.run("backup", BACKUPS_KEPT="2")
    assert made.codes == {"mongodump": 0, "archive": 0}, made
    older, newest, other = backups.names()
    assert (older, other) == ("2026-01-03T01-47-00Z.archive.gz", "note.txt")
    assert newest > older
    assert newest in made.outputs["archive"]
    broken = backups.run("backup", BACKUP_MONGODB_URI=backups.plane.backup_uri.replace("backup:", "backup:x"))
    assert broken.codes["mongodump"] != 0
    assert broken.codes["archive"] == 1
    assert "mongodump ended with 1" in broken.outputs["archive"]
    assert backups.names() == [older, newest, other]


def test_a_backup_that_does_not_exist_is_refused_with_the_names_of_those_that_do(backups: Backups) -> None:
    backups.put("2026-01-01T01-47-00Z.archive.gz")
    with backups.plane.as_member() as member:
        member["exporter"]["jobs"].insert_one({"_id": 1})
        ended = backups.run("restore", BACKUP="2026-01-02T01-47-00Z.archive.gz")
        assert ended.codes == {"mongorestore": 1, "archive": 1}
        assert "2026-01-01T01-47-00Z.archive.gz" in ended.outputs["archive"]
        assert member["exporter"]["jobs"].count_documents({}) == 1


async def test_a_restored_installation_has_everything_and_repeats_no_delivery(
    backups: Backups, authority: Authority, sftp_server: SftpRig, nats_url: str, tmp_path: Path
) -> None:
    sftp_server.clear()
    plane = backups.plane
    with plane.as_member() as member:
        member[f"catalogue_{TENANT}"]["products"].insert_many(products(10))
    logins: dict[str, dict[str, Any]] = {
        service: {"mongodb_uri": uri, "nats_url": nats_url} for service, uri in plane.uris.items()
    }
    logins["exporter"]["worker_jobs"] = 1
    logins["delivery"] |= {"egress_allow": "127.0.0.0/8", "reconcile_seconds": 0.5}
    services = Services("", "", tmp_path, authority, logins)
    key = await api_key(plane.uris["gateway"], TENANT)
    async with services.rest(key) as session:
        platform = {"name": "Shop", "platform_type": "sftp", "config": sftp_server.config()}
        platform_id = (await ask(session, "POST", "exports/platforms", platform))["id"]
        schedule = {"schedule_name": "Nightly", "cron_expression": "0 5 * * *", "platform_id": platform_id}
        schedule_id = (await ask(session, "POST", "exports/schedules", schedule))["id"]
        job_id = await exported(session, "before")
        before = await everything(session, job_id, platform_id, schedule_id)

    made = backups.run("backup")
    assert made.codes == {"mongodump": 0, "archive": 0}, made
    with plane.as_member() as member:
        dropped(member)
        assert not set(OURS) & set(member.list_database_names())
    restored = backups.run("restore")
    assert restored.codes == {"mongorestore": 0, "archive": 0}, restored
    sftp_server.clear()

    async with services.rest(key) as session:  # the key is there, too
        assert await everything(session, job_id, platform_id, schedule_id) == before
        tested = await ask(session, "POST", f"exports/platforms/{platform_id}/test")
        assert tested["ok"], tested  # its password was decrypted
        await exported(session, "after")
        assert await everything(session, job_id, platform_id, schedule_id) == before
        assert sorted(sftp_server.files()) == ["after.csv"]


async def ask(session: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Any:
    async with session.request(method, path, json=body) as answer:
        text = await answer.text()
        assert answer.status < 300, text
        return await answer.json()


async def exported(session: aiohttp.ClientSession, name: str) -> str:
    """The id of an export with this file name, once it is delivered."""
    job_id = (await ask(session, "POST", "exports/csv/products", {"file_name": name}))["id"]

    async def delivered() -> bool:
        found = (await ask(session, "GET", f"exports/jobs/{job_id}/deliveries"))["items"]
        return [one["status"] for one in found] == ["delivered"]

    await eventually(f"{name} is delivered", delivered)
    return str(job_id)


async def everything(session: aiohttp.ClientSession, job_id: str, platform_id: str, schedule_id: str) -> list[Any]:
    """What a client sees of the three, without links, which are signed anew for each response."""
    paths = (f"jobs/{job_id}", f"jobs/{job_id}/deliveries", f"platforms/{platform_id}", f"schedules/{schedule_id}")
    found = [await ask(session, "GET", f"exports/{path}") for path in paths]
    return [{name: value for name, value in one.items() if name != "file_url"} for one in found]
