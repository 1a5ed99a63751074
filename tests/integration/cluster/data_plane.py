"""MongoDB and NATS as in production: the components' commands, configuration and scripts, and Secrets from its script.

Only folders and addresses differ: one member each, on 127.0.0.1.
"""

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pymongo import MongoClient

from deploy.local.servers import HOST, free_port, mongod_program, nats_program
from tests.certificates import Authority
from tests.system import ROOT, eventually

K8S = ROOT / "deploy" / "k8s"
COMPONENTS = K8S / "components"
SERVICES = ("gateway", "exporter", "delivery", "scheduler")


@contextmanager
def running(command: list[str | Path], log: Path, **env: str) -> Iterator[None]:
    """A server as a child process, killed at the end."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **env})
        try:
            yield
        finally:
            child.kill()
            child.wait()


def script(path: str, **env: str) -> None:
    """Run a script of a component to its end, as its Job does."""
    run: list[str | Path] = [sys.executable, COMPONENTS / path]
    made = subprocess.run(run, env={**os.environ, **env}, capture_output=True, text=True, timeout=90)
    assert made.returncode == 0, made.stderr


class DataPlane:
    """The Secrets, the certificates, and the servers."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.ca_file, self.key_file = folder / "ca.crt", folder / "keyfile"
        self.mongod_port, self.nats_port, self.monitor_port = free_port(), free_port(), free_port()
        self._authority = authority
        self._secrets = self._made_secrets()
        self.uris = {
            service: self._secrets["catalog-exports"][f"{service.upper()}_MONGODB_URI"] for service in SERVICES
        }
        self.backup_uri = self._secrets["catalog-exports"]["BACKUP_MONGODB_URI"]
        self.monitoring_uri = self._secrets["catalog-exports"]["MONITORING_MONGODB_URI"]
        self.renew()

    def renew(self) -> None:
        """Write a new certificate, as cert-manager does."""
        pair = self._authority.issue(name="data")
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": self._authority.pem}
        for name, content in {**files, "tls-combined.pem": pair.key + pair.certificate}.items():
            (self.folder / name).write_bytes(content)

    def nats_url(self, user: str) -> str:
        """The address for a user of NATS."""
        return f"tls://{user}:{self._secrets['nats'][f'NATS_{user.upper()}_PASSWORD']}@{HOST}:{self.nats_port}"

    @contextmanager
    def mongodb(self) -> Iterator[None]:
        """A member, without a replica set and without users."""
        key, data = self.key_file, self.folder / "data"
        key.write_text(self._secrets["mongodb"]["keyfile"])
        key.chmod(0o400)
        data.mkdir()
        stateful_set, *_ = yaml.safe_load_all((COMPONENTS / "mongodb" / "mongodb.yaml").read_text())
        command = " ".join(stateful_set["spec"]["template"]["spec"]["containers"][0]["command"])
        for theirs, ours in {
            "--bind_ip_all": f"--bind_ip={HOST}",
            "--port=27017": f"--port={self.mongod_port}",
            "/data/db": str(data),
            "/keyfile/keyfile": str(key),
            "/etc/catalog-exports/tls/": f"{self.folder}/",
            "wiredTigerCacheSizeGB=1": "wiredTigerCacheSizeGB=0.25",
        }.items():
            assert theirs in command
            command = command.replace(theirs, ours)
        _, *options = command.split()
        with running([mongod_program(), *options, "--oplogSize=16"], self.folder / "mongod.log"):
            yield

    def initiate(self) -> None:
        """What the Job does, and later the CronJob."""
        uris = {f"{service.upper()}_MONGODB_URI": uri for service, uri in self.uris.items()}
        uris |= {"BACKUP_MONGODB_URI": self.backup_uri, "MONITORING_MONGODB_URI": self.monitoring_uri}
        script("mongodb-initiate/initiate.py", MONGODB_KEY_FILE=str(self.key_file), **uris)

    def as_member(self) -> MongoClient[dict[str, Any]]:
        """A client that may do everything."""
        return MongoClient(
            HOST,
            self.mongod_port,
            directConnection=True,
            tls=True,
            tlsCAFile=str(self.ca_file),
            username="__system",
            password=self._secrets["mongodb"]["keyfile"],
            authSource="local",
            authMechanism="SCRAM-SHA-256",
        )

    @contextmanager
    def nats(self) -> Iterator[None]:
        """A server without streams."""
        text = (COMPONENTS / "nats" / "nats.conf").read_text()
        text = re.sub(r"^cluster \{.*?^\}$", "", text, flags=re.MULTILINE | re.DOTALL)
        for theirs, ours in {
            "\nport: 4222": f"\nlisten: {HOST}:{self.nats_port}",
            "\nhttp_port: 8222": f"\nhttp: {HOST}:{self.monitor_port}",
            "/data": str(self.folder / "store"),
            "/etc/nats-tls/": f"{self.folder}/",
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        file, log = self.folder / "nats.conf", self.folder / "nats.log"
        file.write_text(text)
        passwords = {key: word for key, word in self._secrets["nats"].items() if key.endswith("_PASSWORD")}
        with running([nats_program(), "--config", file], log, POD_NAME="nats-0", **passwords):
            eventually("NATS listens", lambda: "Server is ready" in log.read_text())
            yield

    def reload_nats(self) -> None:
        """What the CronJob does."""
        script("nats/reload.py", NATS_URL=self.nats_url("system"), NATS_SERVERS="1", NATS_CA_FILE=str(self.ca_file))

    def trust(self) -> ssl.SSLContext:
        """For clients that are not ours."""
        return ssl.create_default_context(cafile=self.ca_file)

    def _made_secrets(self) -> Mapping[str, dict[str, str]]:
        command = [K8S / "overlays" / "production" / "make-secrets.sh"]
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        made = re.sub(r"mongodb-0\.mongodb:27017[^/]+", f"{HOST}:{self.mongod_port}", made)
        made = made.replace("/etc/catalog-exports/tls/ca.crt", str(self.ca_file))
        return {one["metadata"]["name"]: one["stringData"] for one in yaml.safe_load_all(made)}
