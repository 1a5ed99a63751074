"""Runs the containers of the CronJobs `mongodb-backup` and `mongodb-restore` as processes, with their own commands.

mongodump and mongorestore are no packages, so two small programs stand in for them. They read and write the same
databases with the same users over the same pipe, in a format of their own.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.integration.cluster.data_plane import COMPONENTS

TIMEOUT = 90.0
LEFT_OUT = ("admin", "config", "local")
"""Users and configuration, which only the real mongorestore can write."""

MONGODUMP = f"""#!{sys.executable}
import gzip, sys, bson, yaml
from pymongo import MongoClient
assert {{"--oplog", "--gzip", "--archive"}} <= set(sys.argv), sys.argv
(config,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--config=")]
client = MongoClient(yaml.safe_load(open(config))["uri"], serverSelectionTimeoutMS=10_000)
assert client.local["oplog.rs"].find_one() and client.admin["system.users"].find_one()
with gzip.open(sys.stdout.buffer, "wb") as output:
    for name in client.list_database_names():
        for collection in client[name].list_collection_names() if name not in {LEFT_OUT} else ():
            for document in client[name][collection].find():
                output.write(bson.encode({{"db": name, "collection": collection, "document": document}}))
"""
MONGORESTORE = f"""#!{sys.executable}
import gzip, sys, bson, yaml
from pymongo import MongoClient
assert {{"--oplogReplay", "--drop", "--gzip", "--archive"}} <= set(sys.argv), sys.argv
(config,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--config=")]
client = MongoClient(yaml.safe_load(open(config))["uri"], serverSelectionTimeoutMS=10_000)
dropped = set()
for entry in bson.decode_file_iter(gzip.open(sys.stdin.buffer)):
    collection = client[entry["db"]][entry["collection"]]
    if collection.full_name not in dropped:
        dropped.add(collection.full_name)
        collection.drop()
    collection.insert_one(entry["document"])
"""


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of each container, by name."""

    codes: Mapping[str, int]
    outputs: Mapping[str, str]


def run(
    name: str, folder: Path, config: Mapping[str, str], variables: Mapping[str, str], paths: Mapping[str, Path]
) -> Ended:
    """Run the containers of `backup.yaml` or `restore.yaml` side by side.

    Args:
        folder: an empty one, in place of the volumes `pipe` and `scripts`.
        config: the ConfigMap `artifacts-s3`.
        variables: the values from Secrets, and others in place of those of the manifest.
        paths: files on this machine in place of those of mounted Secrets.
    """
    tools = folder / "bin"
    pipe = folder / "pipe"
    for made in (tools, pipe):
        made.mkdir(parents=True)
    for tool, text in {"mongodump": MONGODUMP, "mongorestore": MONGORESTORE}.items():
        (tools / tool).write_text(text)
        (tools / tool).chmod(0o755)
    cron = yaml.safe_load((COMPONENTS / "backup" / f"{name}.yaml").read_text())
    places = {"/scripts": COMPONENTS / "backup", "/pipe": pipe, **paths}
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    started = {}
    for container in cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
        env = {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}
        # What the manifest does not give a container is not there.
        named = {entry["name"] for entry in container.get("env", ())}
        env |= {key: value for key, value in variables.items() if key in named}
        env |= config if "envFrom" in container else {}
        here = {key: _here(value, places) for key, value in env.items()}
        started[container["name"]] = subprocess.Popen(
            [_here(word, places) for word in container["command"]],
            env={**here, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    outputs = {key: child.communicate(timeout=TIMEOUT)[0] for key, child in started.items()}
    return Ended({key: child.returncode for key, child in started.items()}, outputs)


def _here(text: str, places: Mapping[str, Path]) -> str:
    for theirs, ours in places.items():
        text = text.replace(theirs, str(ours))
    return text
