"""What each service's users of MongoDB and NATS may do, and that the services need no more."""

import asyncio
import itertools
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nats
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.servers import HOST
from tests.certificates import Authority
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.integration.chassis.certified import Services, api_key
from tests.integration.cluster.data_plane import SERVICES, DataPlane
from tests.integration.exporting import eventually, products

TENANT = "acme"


@pytest.fixture
def mongodb(plane: DataPlane) -> Iterator[DataPlane]:
    """With the users that the Job makes, and a catalogue."""
    with plane.mongodb():
        plane.initiate()
        with plane.as_member() as member:
            member[f"catalogue_{TENANT}"]["products"].insert_many(products(10))
        yield plane


@pytest.fixture
def nats_server(plane: DataPlane) -> Iterator[DataPlane]:
    with plane.nats():
        yield plane


def refused(attempt: Callable[..., object], *arguments: object) -> bool:
    try:
        attempt(*arguments)
    except OperationFailure as exc:
        assert "not authorized" in str(exc), exc
        return True
    return False


@pytest.mark.full
def test_each_service_reaches_its_own_database_only(mongodb: DataPlane) -> None:
    catalogue = f"catalogue_{TENANT}"
    for service in SERVICES:
        with MongoClient[dict[str, Any]](mongodb.uris[service], serverSelectionTimeoutMS=10_000) as client:
            assert client[service]["things"].insert_one({"_id": 1}).acknowledged
            assert client[service]["things"].create_index("at")
            for other in (*SERVICES, "admin", "local", "config"):
                if other != service:
                    assert refused(client[other]["things"].find_one), (service, other)
                    assert refused(client[other]["things"].insert_one, {}), (service, other)
            may_read = service == "exporter"
            assert refused(client[catalogue]["products"].find_one) is not may_read
            assert refused(client[catalogue]["suppliers"].find_one) is not may_read
            assert refused(client[catalogue]["products"].insert_one, {})
            assert refused(client[catalogue]["products"].drop)
            entries = client["audit"]["entries"]
            assert entries.insert_one({"by": service}).acknowledged
            assert refused(entries.find_one) is not (service == "gateway")
            assert refused(entries.delete_one, {})
            assert refused(entries.update_one, {}, {"$set": {"by": "nobody"}})
            assert refused(entries.drop)


@pytest.mark.full
def test_the_job_changes_passwords_and_takes_over_renewed_certificates(mongodb: DataPlane) -> None:
    old, shown = mongodb.uris["delivery"], ssl.get_server_certificate((HOST, mongodb.mongod_port))
    name, _, rest = old.removeprefix("mongodb://").partition(":")
    mongodb.uris["delivery"] = f"mongodb://{name}:p%40ss%20word@{rest.partition('@')[2]}"
    mongodb.renew()
    mongodb.initiate()
    assert ssl.get_server_certificate((HOST, mongodb.mongod_port)) != shown
    with MongoClient[dict[str, Any]](mongodb.uris["delivery"], serverSelectionTimeoutMS=10_000) as client:
        assert client["delivery"]["things"].find_one() is None
    for wrong in (old, old.replace(f"{name}:", "nobody:")):
        with (
            MongoClient[dict[str, Any]](wrong, serverSelectionTimeoutMS=10_000) as client,
            pytest.raises(OperationFailure, match="Authentication failed"),
        ):
            client["delivery"]["things"].find_one()
    without_tls = mongodb.uris["delivery"].partition("&tls=")[0]
    with MongoClient[dict[str, Any]](without_tls, serverSelectionTimeoutMS=500) as client, pytest.raises(PyMongoError):
        client.admin.command("ping")


JS = "$JS.API"
EVENTS_OF = "CONSUMER.MSG.NEXT.EXPORT_EVENTS"
# What a user may publish to, and what it may not.
PUBLISH: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "exporter": (
        (
            "exports.jobs.a",
            "exports.events.completed",
            f"{JS}.CONSUMER.MSG.NEXT.EXPORTS.export-workers",
            f"{JS}.STREAM.PURGE.EXPORTS",
            f"{JS}.STREAM.UPDATE.EXPORTS",
            f"{JS}.STREAM.UPDATE.EXPORT_EVENTS",
        ),
        (f"{JS}.STREAM.DELETE.EXPORTS", f"{JS}.STREAM.PURGE.EXPORT_EVENTS", f"{JS}.{EVENTS_OF}.delivery", "other"),
    ),
    "delivery": (
        (f"{JS}.{EVENTS_OF}.delivery", f"{JS}.STREAM.INFO.EXPORT_EVENTS"),
        ("exports.jobs.a", "exports.events.completed", f"{JS}.{EVENTS_OF}.scheduler", f"{JS}.STREAM.INFO.EXPORTS"),
    ),
    "scheduler": (
        (f"{JS}.{EVENTS_OF}.scheduler",),
        ("exports.jobs.a", "exports.events.completed", f"{JS}.{EVENTS_OF}.delivery"),
    ),
}
# The same for subscriptions: nobody hears the answers to another service.
SUBSCRIBE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "exporter": (
        ("_INBOX.exporter.a", "exports.jobs.a", "exports.events.*", "exports.changes.*"),
        ("_INBOX.>", ">", "exports.>"),
    ),
    "delivery": (
        ("_INBOX.delivery.a",),
        ("_INBOX.exporter.>", ">", "exports.events.*", "exports.jobs.a", "exports.changes.a"),
    ),
    "scheduler": (("_INBOX.scheduler.a",), ("_INBOX.delivery.>", ">", "exports.events.*", "exports.jobs.a")),
}


LAST = "nobody.may"
"""A violation is reported some time after the call, but in order."""


async def violations(server: DataPlane, user: str, subjects: Sequence[str], *, heard: bool = False) -> list[str]:
    """The subjects that the user may not publish to or, with `heard`, not subscribe to."""
    errors: list[str] = []

    async def note(exc: Exception) -> None:
        errors.append(str(exc).lower())  # the client makes parts of it lower-case

    async def has_answered() -> bool:
        return any(f'"{LAST}"' in error for error in errors)

    client = await nats.connect(server.nats_url(user), tls=server.trust(), error_cb=note)
    for subject in (*subjects, LAST):
        await (client.subscribe(subject) if heard else client.publish(subject, b""))
    await eventually("the server has answered", has_answered)
    await client.close()
    return [subject for subject in subjects if any(f'"{subject.lower()}"' in error for error in errors)]


async def test_each_user_of_nats_reaches_only_its_own_subjects(nats_server: DataPlane) -> None:
    for user, heard in itertools.product(PUBLISH, (False, True)):
        allowed, denied = (SUBSCRIBE if heard else PUBLISH)[user]
        assert await violations(nats_server, user, [*allowed, *denied], heard=heard) == list(denied), user


async def test_nats_takes_a_renewed_certificate_and_nobody_without_password_or_tls(nats_server: DataPlane) -> None:
    url = nats_server.nats_url("delivery")
    client = await nats.connect(url, tls=nats_server.trust(), allow_reconnect=False)
    nats_server.renew()
    nats_server.reload_nats()
    await client.flush()  # the reload has not closed it
    await client.close()
    for wrong in (url.replace("delivery:", "delivery:x"), f"tls://{HOST}:{nats_server.nats_port}"):
        with pytest.raises(nats.errors.Error, match="Authorization"):
            await nats.connect(wrong, tls=nats_server.trust(), allow_reconnect=False)
    assert (await _certificate(nats_server)).encode() in (nats_server.folder / "tls.crt").read_bytes()


async def _certificate(server: DataPlane) -> str:
    """The certificate that NATS shows after its greeting."""
    reader, writer = await asyncio.open_connection(HOST, server.nats_port)
    await reader.readline()
    await writer.start_tls(server.trust(), server_hostname=HOST)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(shown).strip()


@pytest.mark.full
async def test_the_services_work_with_their_own_users_certificates_and_tls(
    mongodb: DataPlane, nats_server: DataPlane, authority: Authority, sftp_server: SftpRig, tmp_path: Path
) -> None:
    """One export is delivered, and one run of a schedule."""
    sftp_server.clear()
    logins: dict[str, dict[str, Any]] = {service: {"mongodb_uri": uri} for service, uri in mongodb.uris.items()}
    for service in ("exporter", "delivery", "scheduler"):
        logins[service] |= {"nats_url": nats_server.nats_url(service), "nats_ca_file": str(nats_server.ca_file)}
    logins["exporter"]["worker_jobs"] = 1
    logins["delivery"]["egress_allow"] = "127.0.0.0/8"
    services = Services("", "", tmp_path, authority, logins)
    async with services.rest(await api_key(mongodb.uris["gateway"], TENANT)) as session:

        async def ask(method: str, path: str, body: object = None) -> Any:
            async with session.request(method, path, json=body) as answer:
                text = await answer.text()
                assert answer.status < 300, text
                return await answer.json()

        async def delivered(job: str) -> bool:
            found = (await ask("GET", f"exports/jobs/{job}/deliveries"))["items"]
            return [one["status"] for one in found] == ["delivered"]

        platform = {"name": "Shop", "platform_type": "sftp", "config": sftp_server.config()}
        platform_id = (await ask("POST", "exports/platforms", platform))["id"]
        job = (await ask("POST", "exports/csv/products", {"include_fields": ["sku"]}))["id"]
        await eventually("the export is delivered", lambda: delivered(job))
        schedule = {"schedule_name": "Nightly", "cron_expression": "0 5 * * *", "platform_id": platform_id}
        schedule_id = (await ask("POST", "exports/schedules", schedule))["id"]
        run = await ask("POST", f"exports/schedules/{schedule_id}/run")

        async def has_run() -> str | None:
            (found,) = (await ask("GET", f"exports/schedules/{schedule_id}/runs"))["items"]
            return found["job_id"] if found["id"] == run["id"] and found["status"] == "completed" else None

        run_job = await eventually("the schedule has run", has_run)
        await eventually("its file is delivered", lambda: delivered(run_job))
