"""Large exports are few at a time and give way; small ones do not wait for them."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from services.exporter.export.large_exports import LARGE_DOCUMENTS, NICENESS, LargeExports
from services.exporter.prefetch import Stopped
from tests.waiting import eventually

LARGE = LARGE_DOCUMENTS + 1


def test_a_small_export_does_not_wait_for_large_ones_and_a_large_one_does() -> None:
    exports, never, done = LargeExports(1), threading.Event(), threading.Event()
    order: list[str] = []

    def export(name: str, documents: int) -> None:
        with exports.admit(documents, never):
            order.append(name)
            if name == "first":
                done.wait()

    with ThreadPoolExecutor() as threads:
        first = threads.submit(export, "first", LARGE)
        eventually("the first one runs", lambda: order)
        second = threads.submit(export, "second", LARGE)
        threads.submit(export, "small", LARGE_DOCUMENTS).result()
        done.set()
        first.result()
        second.result()
    assert order == ["first", "small", "second"]


def test_a_large_export_that_waits_can_be_stopped() -> None:
    exports, never, stop = LargeExports(1), threading.Event(), threading.Event()
    stop.set()

    def run() -> None:
        with exports.admit(LARGE, never), pytest.raises(Stopped), exports.admit(LARGE, stop):
            pass
        with exports.admit(LARGE, never):
            pass

    with ThreadPoolExecutor() as threads:  # not in this thread: it would keep the low priority
        threads.submit(run).result()


def in_thread(run: Callable[[], None]) -> None:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_the_threads_of_a_large_export_give_way_and_others_do_not() -> None:
    exports, found = LargeExports(), []

    def note() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def export(documents: int) -> None:
        with exports.admit(documents, threading.Event()):
            in_thread(note)

    for documents in (1, LARGE):
        in_thread(partial(export, documents))
    note()
    assert found == [found[2], max(found[2], NICENESS), found[2]]
