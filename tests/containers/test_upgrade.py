"""A rolling upgrade of every service under load: nothing is lost, nothing is waited out, and no client notices."""

import hashlib
import itertools
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from pymongo import MongoClient

from catalog_exports import CatalogExports
from deploy.containers.cluster import Cluster, Replaced
from deploy.local.demo.deliveries import registered
from deploy.local.demo.exports import EXPORTS
from deploy.local.demo.products.catalogue import Catalogue
from deploy.local.demo.receivers.s3_server import S3Server
from tests.containers.conftest import KEY
from tests.containers.patient import Patient
from tests.system import eventually

log = logging.getLogger(__name__)

EXPORTS_AT_LEAST = 200
CLIENTS = 8
# What the worker is in the midst of when it has to leave: several, so that it has more to do than it can end meanwhile.
LARGE, LARGE_PRODUCTS, LONG_EXPORTS = "large", 200_000, 6
# A lost wake-up is repeated after 60 s. A lease that ran out, after 10 s, would show as a second attempt.
SECONDS_TO_GO_ON = 10.0
UPGRADED = ("exporter-worker", "exporter", "delivery", "scheduler", "gateway")


class Load:
    """Clients that export one file after the other, at least so many, and until they are told that it is enough."""

    def __init__(self, patient: Patient, platform_ids: list[str]) -> None:
        self._patient = patient
        self._platform_ids = platform_ids
        self._numbers: Iterator[int] = itertools.count()
        self.enough = threading.Event()
        self.ended: list[Any] = []

    def run(self) -> None:
        """One client's work."""
        while (number := next(self._numbers)) < EXPORTS_AT_LEAST or not self.enough.is_set():
            export = EXPORTS[number % len(EXPORTS)]
            # Names by the second, the default, would be shared by files of this load.
            body = {**export.body, "platform_ids": self._platform_ids, "file_name": "{job}"}
            self.ended.append(self._patient.exported(export.form, body, key=f"upgrade-{number}"))


def documents(cluster: Cluster, service: str, collection: str, ids: list[str], field: str) -> list[dict[str, Any]]:
    with MongoClient[dict[str, Any]](cluster.mongodb_uri, tz_aware=True) as client:
        return list(client[service][collection].find({field: {"$in": ids}}))


def events(logs: list[str], name: str) -> list[dict[str, Any]]:
    """Log lines of one event."""
    lines = [json.loads(line) for log in logs for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def moment(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def test_every_service_is_replaced_under_load_and_no_export_fails_or_waits_for_a_lease(
    cluster: Cluster, key: str, patient: Patient, catalogue: Catalogue, s3: S3Server
) -> None:
    fill_large(cluster)
    large = Patient(cluster.url, cluster.run("gateway", *KEY, "--tenant", LARGE))
    with (
        CatalogExports(cluster.url, key) as rest,
        registered(rest, [s3]) as [platform],
        ThreadPoolExecutor(CLIENTS + LONG_EXPORTS) as pool,
    ):
        load = Load(patient, [platform.id])
        clients = [pool.submit(load.run) for _ in range(CLIENTS)]
        try:
            eventually("the load is under way", lambda: len(load.ended) >= CLIENTS, within=60)
            long = [pool.submit(large.exported, "excel", {}, key=f"long-{n}") for n in range(LONG_EXPORTS)]
            eventually("the worker is busy", lambda: len(running(cluster)) > 1, within=60)
            replaced = {service: cluster.replace(service) for service in UPGRADED}
            under_load = len(load.ended)
        finally:
            load.enough.set()
        for client in clients:
            client.result()
        long_ones = [each.result() for each in long]
        ids = [job["id"] for job in load.ended]
        delivered = eventually("all are delivered", lambda: deliveries(cluster, ids), within=120, every=0.5)
    assert len(ids) >= EXPORTS_AT_LEAST
    assert Counter(job["status"] for job in load.ended) == {"completed": len(ids)}
    assert {job["total_records"] for job in load.ended} == {
        len(catalogue.products),
        len(catalogue.products) + len(catalogue.suppliers),
    }
    assert Counter((job["status"], job["total_records"]) for job in long_ones) == {
        ("completed", LARGE_PRODUCTS): LONG_EXPORTS
    }
    ended_by_themselves(replaced)
    nothing_was_waited_out(cluster, replaced, [*ids, *(job["id"] for job in long_ones)])
    assert Counter(delivery["attempt"] for delivery in delivered) == {1: len(ids)}
    assert {one["job_id"]: hash_of(s3, one) for one in delivered} == {job["id"]: job["sha256"] for job in load.ended}
    took = {service: round(one.seconds, 1) for service, one in replaced.items()}
    log.info("%d exports, %d by the end of the upgrade; put off: %s", len(ids), under_load, dict(patient.put_off))
    log.info("seconds from SIGTERM to the end: %s", took)


def fill_large(cluster: Cluster) -> None:
    products = [{"_id": f"p{n:07}", "name": f"Product {n}", "price": n / 4, "stock": n} for n in range(LARGE_PRODUCTS)]
    with MongoClient[dict[str, Any]](cluster.mongodb_uri) as client:
        client[f"catalogue_{LARGE}"]["products"].insert_many(products, ordered=False)


def running(cluster: Cluster) -> list[dict[str, Any]]:
    """Large exports that a worker has claimed."""
    with MongoClient[dict[str, Any]](cluster.mongodb_uri) as client:
        return list(client["exporter"]["jobs"].find({"tenant": LARGE, "state": "running"}))


def deliveries(cluster: Cluster, ids: list[str]) -> list[dict[str, Any]]:
    """Of these jobs; none while one is missing or under way."""
    found = documents(cluster, "delivery", "deliveries", ids, "job_id")
    return found if [one["state"] for one in found] == ["delivered"] * len(ids) else []


def hash_of(s3: S3Server, delivery: dict[str, Any]) -> str:
    """Of what lies at the destination."""
    content = s3.content(delivery["receipt"]["remote"])
    assert content is not None, delivery
    return hashlib.sha256(content).hexdigest()


def ended_by_themselves(replaced: dict[str, Replaced]) -> None:
    """SIGTERM was enough: none had to be killed, and none failed on its way out."""
    assert {service: one.exit_code for service, one in replaced.items()} == dict.fromkeys(UPGRADED, 0)
    assert all(events([one.log], "stopped") for one in replaced.values())


def nothing_was_waited_out(cluster: Cluster, replaced: dict[str, Replaced], ids: list[str]) -> None:
    """Every attempt but those given back made its file; what was given back was claimed again within seconds."""
    jobs = documents(cluster, "exporter", "jobs", ids, "_id")
    # A claim counts as an attempt, giving back takes it away again; a lease that ran out would have left a second one.
    assert Counter(job["attempt"] for job in jobs) == {1: len(ids)}
    logs = [replaced["exporter-worker"].log, cluster.log("exporter-worker")]
    given_back = [end for end in events(logs, "attempt_ended") if end["outcome"] == "given_back"]
    claimed = events(logs, "work_claimed")
    assert given_back, "the worker left while it had nothing to do, which shows nothing"
    for back in given_back:
        again = [
            moment(claim) for claim in claimed if claim["job_id"] == back["job_id"] and moment(claim) > moment(back)
        ]
        assert (min(again) - moment(back)).total_seconds() < SECONDS_TO_GO_ON
    assert events(logs, "lease_lost") == []
