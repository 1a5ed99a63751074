"""A platform's secret appears nowhere: not in MongoDB, logs, metrics, or answers of gRPC and REST."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import asyncssh
import grpc
import pytest
from google.protobuf.message import Message

from deploy.local.servers import free_port
from services.wire import delivery_pb2 as pb
from services.wire import delivery_pb2_grpc
from tests.contract.destinations.rigs import Rig
from tests.contract.destinations.rigs.ftp import FtpRig
from tests.contract.destinations.rigs.gdrive import DriveRig
from tests.contract.destinations.rigs.minio import MinioRig
from tests.contract.destinations.rigs.s3 import S3Rig
from tests.contract.destinations.rigs.sftp import SftpRig
from tests.rest import Answer, Rest
from tests.system import System, eventually

CANARY = "canary-31415926535897932384626"
TENANT = "canary"


def forms() -> list[bytes]:
    """The canary as plain text, as hex, and as part of a longer text in base64."""
    whole = CANARY.encode()
    inside = [base64.b64encode(b"x" * shift + whole)[4:-4] for shift in range(3)]
    return [whole, *inside, whole.hex().encode()]


def assert_clean(where: str, data: bytes) -> None:
    for form in forms():
        at = data.find(form)
        assert at < 0, f"{where}: {data[max(0, at - 300) : at + 100]!r}"


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[System]:
    """A separate system at log level DEBUG whose delivery service exposes its metrics."""
    made = System(tmp_path_factory.mktemp("canary"), with_delivery=True, LOG_LEVEL="DEBUG", DELIVERY_MAX_ATTEMPTS="2")
    env = {"GRPC_PORT": str(made.delivery_port), "METRICS_PORT": str(metrics_port), "DELIVERY_RETRY_SECONDS": "0.1"}
    made.delivery = made.service("tests.delivery_process", "delivery", **env)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def rigs() -> Iterator[dict[str, Rig]]:
    """A server of each type. All of them reject the canary."""
    made: dict[str, Rig] = {
        "s3": S3Rig(),
        "minio": MinioRig(),
        "sftp": SftpRig(),
        "ftp": FtpRig("explicit"),
        "gdrive": DriveRig("person"),
    }
    for rig in made.values():
        rig.start()
        rig.clear()
    yield made
    for rig in made.values():
        rig.stop()


def key() -> str:
    """A private key encrypted with the canary; one bcrypt round, because each of 128 costs 7 ms at every use."""
    made = asyncssh.generate_private_key("ssh-ed25519")
    return made.export_private_key("openssh", CANARY, rounds=1, ignore_few_rounds=True).decode()


def configs(rigs: dict[str, Rig]) -> list[tuple[str, dict[str, Any]]]:
    """Configs with the canary in every secret field, for servers that reject it and for ports where nothing listens."""
    closed = free_port()
    person: dict[str, Any] = rigs["gdrive"].config()
    credentials = {**person["credentials"], "client_secret": CANARY, "refresh_token": CANARY}
    sftp = {**rigs["sftp"].config(), "private_key": key(), "passphrase": CANARY, "password": CANARY}
    found = [
        ("s3", {**rigs["s3"].config(), "secret_access_key": CANARY, "session_token": CANARY}),
        ("minio", {**rigs["minio"].config(), "secret_key": CANARY}),
        ("sftp", sftp),
        ("ftp", {**rigs["ftp"].config(), "password": CANARY}),
        ("gdrive", {**person, "credentials": credentials}),
        ("gdrive", {**person, "credentials": json.dumps(credentials)}),
    ]
    nowhere = f"http://127.0.0.1:{closed}"
    away = [
        ("s3", {**found[0][1], "endpoint_url": nowhere}),
        ("minio", {**found[1][1], "endpoint": f"127.0.0.1:{closed}"}),
        ("sftp", {**sftp, "port": closed}),
        ("ftp", {**found[3][1], "port": closed}),
        ("gdrive", {**person, "credentials": {**credentials, "token_uri": f"{nowhere}/token"}}),
    ]
    return found + away


def wrong(kind: str, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Invalid bodies, some with the canary in the wrong place."""
    body = {"name": "P", "platform_type": kind, "config": config}
    secret = next(name for name, value in config.items() if CANARY in json.dumps(value))
    return [
        {**body, "config": {**config, "no_such": CANARY}},
        {**body, "config": {**config, secret: [CANARY]}},
        {**body, "config": {**config, secret: {"type": CANARY}}},
        {**body, "config": {**config, secret: CANARY + " \n" + CANARY * 900}},
        {**body, "config": {secret: config[secret]}},
        {**body, "config": {**config, "on_conflict": CANARY}},
        {**body, "platform_type": "nonsense"},
        {**body, "name": ""},
    ]


def provoked(client: Rest, rigs: dict[str, Rig]) -> Iterator[tuple[str, Answer]]:
    """The answer to every request that can fail, with the platform type it belongs to."""
    for kind, config in configs(rigs):
        for body in wrong(kind, config):
            yield kind, client.call("POST", "/exports/platforms", body)
        made = client.call("POST", "/exports/platforms", {"name": "P", "platform_type": kind, "config": config})
        assert made.status == 201, made
        yield kind, made
        path = f"/exports/platforms/{made.json['id']}"
        yield kind, client.call("GET", path)
        yield kind, client.call("PATCH", path, {"config": {"no_such": CANARY}})
        yield kind, client.call("PATCH", path, {"config": config})
        tried = client.call("POST", f"{path}/test", timeout=60)
        assert tried.json["ok"] is False, tried
        yield kind, tried
    yield "list", client.call("GET", "/exports/platforms?limit=200")
    audit = client.call("GET", "/audit?limit=200")
    assert {"ok", "refused"} <= {entry["result"] for entry in audit.json["items"]}
    yield "audit", audit


@pytest.mark.full
def test_a_canary_secret_appears_nowhere(system: System, rigs: dict[str, Rig], metrics_port: int) -> None:
    client = system.client(TENANT)
    for where, answer in provoked(client, rigs):
        assert_clean(where, answer.body + str(dict(answer.headers)).encode())
    system.fill(TENANT, [{"_id": 1}])
    job, _ = client.file("csv")
    deliveries = _all_failed(client, job["id"])
    assert_clean("deliveries", deliveries.body)
    assert_clean("job", json.dumps(client.job(job["id"])).encode())
    for name, message in _rpc(system, job["id"]):
        assert_clean(name, message.SerializeToString() + str(message).encode())
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
        assert_clean("metrics of delivery", answer.read())
    with urllib.request.urlopen(f"http://127.0.0.1:{system.gateway_metrics_port}/metrics") as answer:
        assert_clean("metrics of the gateway", answer.read())
    system.delivery.end()
    for log in system.folder.glob("*.log"):
        assert_clean(log.name, log.read_bytes())
    assert b"attempt_failed" in (system.folder / "delivery.log").read_bytes()
    _search_databases(system)


def _all_failed(client: Rest, job_id: str) -> Answer:
    count = len(client.call("GET", "/exports/platforms?limit=200").json["items"])
    assert count >= 11

    def ended() -> Answer | None:
        answer = client.call("GET", f"/exports/jobs/{job_id}/deliveries?limit=200")
        states = [one["status"] for one in answer.json["items"]]
        return answer if states == ["failed"] * count else None

    found: Answer = eventually("all deliveries have failed", ended)
    return found


def _rpc(system: System, job_id: str) -> Iterator[tuple[str, Message]]:
    with grpc.insecure_channel(f"127.0.0.1:{system.delivery_port}") as channel:
        stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        found = stub.ListPlatforms(pb.ListPlatformsRequest(tenant=TENANT, page_size=200), timeout=20)
        assert len(found.platforms) > 5
        yield "ListPlatforms", found
        yield "ListDeliveries", stub.ListDeliveries(pb.ListDeliveriesRequest(tenant=TENANT, page_size=200), timeout=20)
        yield "ListPlatformTypes", stub.ListPlatformTypes(pb.ListPlatformTypesRequest(), timeout=20)
        for one in found.platforms:
            request = pb.UpdatePlatformRequest(tenant=TENANT, platform_id=one.id, config_json=f'{{"x": "{CANARY}"}}')
            with pytest.raises(grpc.RpcError) as refused:
                stub.UpdatePlatform(request, timeout=20)
            details = [refused.value.details(), *(pair for pair in refused.value.trailing_metadata())]
            assert_clean("UpdatePlatform", str(details).encode())


def _search_databases(system: System) -> None:
    """Check every byte of every collection, including the oplog."""
    seen = 0
    with system.mongo() as client:
        for name in client.list_database_names():
            for collection in client[name].list_collection_names():
                batches: Any = client[name][collection].find_raw_batches()
                for batch in batches:
                    assert_clean(f"{name}.{collection}", batch)
                    seen += len(batch)
        assert client["audit"]["entries"].count_documents({"tenant": TENANT, "action": "platform.create"}) > 100
    assert seen > 10_000
