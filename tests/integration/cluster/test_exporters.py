"""MongoDB and NATS offer what the exporters make the metrics of our alerts from, to the exporters' users.

The exporters are programs in Go without packages. How they name metrics is written down here from their sources:
mongodb_exporter v0.53 (exporter/metrics.go, v1_compatibility.go) and prometheus-nats-exporter v0.20
(collector/collector.go, healthz.go).
"""

import datetime
import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local.servers import HOST
from tests.integration.cluster.data_plane import COMPONENTS, DataPlane
from tests.system import eventually
from tests.unit.monitoring.promql import EXPORTED

Series = dict[str, float]
PREFIXES = {"replSetGetStatus": "rs", "serverStatus": "ss"}


@pytest.fixture
def mongodb(plane: DataPlane) -> Iterator[DataPlane]:
    with plane.mongodb():
        plane.initiate()
        yield plane


def arguments(component: str) -> list[str]:
    """What the component starts its exporter with."""
    deployment, *_ = yaml.safe_load_all((COMPONENTS / component / f"{component}.yaml").read_text())
    return list(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


def flat(document: Mapping[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """The numbers in a document with their paths; those of a list's members have the same path."""
    for key, value in document.items():
        where = (*path, key)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield from flat(one, *where)
            elif isinstance(one, datetime.datetime):
                yield where, one.timestamp() * 1_000
            elif isinstance(one, int | float):
                yield where, float(one)


COLLECTED = {"--collector.diagnosticdata", "--collector.dbstats", "--compatible-mode"}
"""The flags for what `of_mongodb` reads."""


def of_mongodb(client: MongoClient[dict[str, Any]]) -> Series:
    """What mongodb_exporter with the flags of the component offers, as far as alerts use it."""
    data = client.admin.command("getDiagnosticData")["data"]
    blocks = data.values() if "common" in data else [data]
    found: Series = {"mongodb_up": float(client.admin.command("ping")["ok"])}
    for block in blocks:
        for (first, *rest), value in flat(block):
            found["_".join(["mongodb", PREFIXES.get(first, first), *rest])] = value
    for name in client.list_database_names():
        found |= {f"mongodb_dbstats_{key}": value for (key, *_), value in flat(client[name].command("dbStats"))}
    for end, order in (("head", -1), ("tail", 1)):
        entry = client.local["oplog.rs"].find_one(sort=[("$natural", order)])
        assert entry is not None
        found[f"mongodb_mongod_replset_oplog_{end}_timestamp"] = float(entry["ts"].time)
    return found


def test_mongodb_has_what_the_alerts_ask_for_and_the_user_may_read_that_only(mongodb: DataPlane) -> None:
    assert set(arguments("mongodb-exporter")) >= COLLECTED
    with MongoClient[dict[str, Any]](mongodb.monitoring_uri, serverSelectionTimeoutMS=10_000) as client:

        def asked() -> Series | None:
            found = of_mongodb(client)
            return found if "mongodb_rs_members_optimeDate" in found else None

        found = eventually("mongod has collected its diagnostic data", asked)
        wanted = {name for name in EXPORTED if name.startswith("mongodb_")}
        assert wanted <= found.keys()
        assert found["mongodb_dbstats_fsTotalSize"] >= found["mongodb_dbstats_fsUsedSize"] > 0
        now = datetime.datetime.now().timestamp()
        assert abs(found["mongodb_rs_members_optimeDate"] / 1_000 - now) < 60
        assert abs(found["mongodb_mongod_replset_oplog_head_timestamp"] - now) < 60
        # It reads no data, and writes nothing.
        for database in ("exporter", "delivery", "scheduler", "gateway", "audit", "catalogue_acme"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client[database]["things"].find_one()
        for database in ("exporter", "local", "admin"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client[database]["things"].insert_one({})


def test_nats_has_what_the_alerts_ask_for_at_its_monitoring_port(plane: DataPlane) -> None:
    found: set[str] = set()
    with plane.nats():
        for page in (one.removeprefix("-") for one in arguments("nats-exporter") if one.startswith("-")):
            with urllib.request.urlopen(f"http://{HOST}:{plane.monitor_port}/{page}", timeout=5) as answer:
                shown = json.load(answer)
            found |= {"_".join(["gnatsd", page, *path]) for path, _ in flat(shown)}
            if page == "healthz":
                assert shown["status"] == "ok"
                found.add("gnatsd_healthz_status_value")
            else:
                assert shown["jetstream"]["config"]["max_storage"] == 8 * 1_000**3  # max_file_store
    assert {name for name in EXPORTED if name.startswith("gnatsd_")} <= found
