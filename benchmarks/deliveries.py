"""Delivers a file of 256 MiB to S3, SFTP and FTP, and compares it with a plain copy by the same library."""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import aioboto3
import aioftp
import asyncssh
from pymongo import MongoClient

from benchmarks.memory import MIB, reset_peak, status
from benchmarks.report import Report
from benchmarks.system import TIMEOUT, System

SIZE_MIB = 256
RUNS = 3
ROOT = Path(__file__).parent.parent

Copy = Callable[[Path, Mapping[str, Any]], Coroutine[Any, Any, None]]


def measure(system: System, report: Report) -> None:
    """Measure each type with its size verified against a plain copy, then once with its content verified."""
    job = _large_export(system)
    file = next((system.stack.folder / "artifacts").rglob("export*.json"))
    with receivers(system.stack.folder / "receivers") as configs:
        for kind, copy in COPIES.items():
            _one_type(system, report, job, file, kind, configs[kind], copy)


def _one_type(
    system: System, report: Report, job: str, file: Path, kind: str, config: dict[str, Any], copy: Copy
) -> None:
    by_size = config if kind == "s3" else {**config, "verify": "size"}
    pid = system.pid("delivery")
    _deliver(system, job, kind, by_size)  # imports on first use do not count as growth
    before = status(pid, "VmRSS")
    reset_peak(pid)
    plain, delivered = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        asyncio.run(copy(file, config))
        plain.append(SIZE_MIB / (time.perf_counter() - started))
        delivered.append(_deliver(system, job, kind, by_size))
    growth = (status(pid, "VmHWM") - before) / MIB
    ratio = statistics.median(delivered) / statistics.median(plain)
    report.add(
        f"{SIZE_MIB} MiB to {kind}",
        f"{statistics.median(delivered):.0f} MiB/s",
        compared=f"plain copy: {statistics.median(plain):.0f} MiB/s; ratio {ratio:.2f}",
        target="at least 0.8",
    )
    report.add(f"{SIZE_MIB} MiB to {kind}: memory growth", f"{growth:.1f} MiB", target="at most 64 MiB")
    if by_size is not config:
        rate = _deliver(system, job, kind, config)
        report.add(f"{SIZE_MIB} MiB to {kind}, content read back", f"{rate:.0f} MiB/s")


def _large_export(system: System) -> str:
    """Export a file of about 256 MiB and return the job's id."""
    with MongoClient[dict[str, Any]](system.mongodb_uri) as client:
        products = client["catalogue_default"]["products"]
        products.drop()
        products.insert_many({"_id": number, "text": "x" * (MIB - 30)} for number in range(SIZE_MIB))
    job, _ = system.export("json", {"json_lines": False, "pretty": False, "platform_ids": []})
    return str(job["id"])


def _deliver(system: System, job: str, kind: str, config: dict[str, Any]) -> float:
    """Deliver into a new folder and return MiB per second, from connecting to verified."""
    folder = {"prefix" if kind == "s3" else "path": f"bench-{time.monotonic_ns()}"}
    body = {"name": "bench", "platform_type": kind, "config": {**config, **folder}}
    platform = system.rest.call("POST", "/exports/platforms", body)["id"]
    system.rest.call("POST", f"/exports/jobs/{job}/deliveries", {"platform_id": platform})
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        found = system.rest.call("GET", f"/exports/jobs/{job}/deliveries")["items"]
        [delivery] = [one for one in found if one["platform_id"] == platform]
        if delivery["status"] == "delivered":
            system.rest.call("DELETE", f"/exports/platforms/{platform}")
            return SIZE_MIB / float(delivery["receipt"]["seconds"])
        if delivery["status"] == "failed":
            raise RuntimeError(f"the delivery failed: {delivery['error']}")
        time.sleep(0.05)
    raise RuntimeError(f"not delivered within {TIMEOUT:.0f} s")


@contextlib.contextmanager
def receivers(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Servers that receive files, and their configs by type."""
    command = [sys.executable, "-m", "benchmarks.receivers", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def _new_name() -> str:
    """A new name for each copy, as for a delivery: overwriting a cached file would be cheaper."""
    return f"plain-{time.monotonic_ns()}"


async def _to_s3(file: Path, config: Mapping[str, Any]) -> None:
    session = aioboto3.Session(config["access_key_id"], config["secret_access_key"], region_name=config["region"])
    async with session.client("s3", endpoint_url=config["endpoint_url"]) as client:
        await client.upload_file(str(file), config["bucket"], _new_name())


async def _to_sftp(file: Path, config: Mapping[str, Any]) -> None:
    async with (
        asyncssh.connect(
            config["host"], config["port"], username=config["username"], password=config["password"], known_hosts=None
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        await sftp.put(str(file), _new_name())


async def _to_ftp(file: Path, config: Mapping[str, Any]) -> None:
    async with aioftp.Client.context(config["host"], config["port"], config["username"], config["password"]) as client:
        await client.upload(file, _new_name(), write_into=True, block_size=256 * 1024)


COPIES: Mapping[str, Copy] = {"s3": _to_s3, "sftp": _to_sftp, "ftp": _to_ftp}
