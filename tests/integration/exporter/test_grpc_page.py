"""The example of docs/grpc.md works."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.exporting import Exporter, products

ROOT = Path(__file__).parents[3]


async def test_the_example_exports_a_file(running: Exporter) -> None:
    await running.client.drop_database("catalogue_default")
    await running.fill("default", products(3))
    await running.jobs.delete_many({"tenant": "default"})
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/grpc.md").read_text(), re.DOTALL)
    code = "\n".join(blocks).replace("localhost:50051", f"127.0.0.1:{running.running.rpc_port}")
    assert len(blocks) == 2
    assert str(running.running.rpc_port) in code
    command = [sys.executable, "-c", code]
    found = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("JOB_STATE_COMPLETED {'products': 3} ")
    assert found.stdout.splitlines()[1:] == ["True"]
