"""Threads of their own, whose outcome is awaited and whose hanging keeps nobody."""

import asyncio
import subprocess
import sys
import threading

import pytest

from services.chassis.loops import in_thread
from tests.system import ROOT


async def test_the_result_or_the_error_comes_back() -> None:
    assert await in_thread(lambda: threading.current_thread().name, name="one") == "one"
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, name="two")


async def test_a_thread_continues_after_its_caller_was_cancelled() -> None:
    go, gone = threading.Event(), threading.Event()

    def call() -> None:
        go.wait(10)
        gone.set()

    waiting = asyncio.create_task(in_thread(call, name="slow"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    assert await asyncio.to_thread(gone.wait, 10)


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    code = """
import asyncio, threading
from services.chassis.loops import in_thread

async def main():
    task = asyncio.create_task(in_thread(threading.Event().wait, name="for ever"))
    await asyncio.wait([task], timeout=0.1)

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=20).returncode == 0
