"""The parts that several destinations share: blocks, requests in flight, error rules."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.destinations.contract import Step
from services.delivery.destinations.egress import Forbidden, Unresolved
from services.delivery.destinations.kit.blocks import at_most, blocks
from services.delivery.destinations.kit.error_rules import (
    MAX_QUOTE,
    Fault,
    Rule,
    find_egress_error,
    find_fault,
    printable,
)
from services.delivery.destinations.kit.window import RequestWindow


async def source(chunks: list[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


@given(chunks=st.lists(st.binary(max_size=40), max_size=20), size=st.integers(1, 30))
def test_blocks_are_the_same_bytes_in_equal_sizes(chunks: list[bytes], size: int) -> None:
    async def collect() -> list[bytes]:
        return [block async for block in blocks(source(chunks), size)]

    found = asyncio.run(collect())
    whole = b"".join(chunks)
    assert found == [whole[start : start + size] for start in range(0, len(whole), size)]


async def test_no_chunk_is_requested_after_the_limit_is_exceeded() -> None:
    read = source([b"abc", b"def", b"ghi", b"jkl"])
    assert [chunk async for chunk in at_most(read, 4)] == [b"abc", b"def"]
    assert [chunk async for chunk in read] == []  # it was closed


async def test_results_arrive_in_the_order_of_the_requests() -> None:
    async def request(number: int) -> int:
        await asyncio.sleep(0.001 * (3 - number))
        return number

    async with RequestWindow[int](3) as window:
        for number in range(3):
            assert not window.full
            window.start(request(number))
        assert window.full
        assert [await window.oldest() for _ in range(3)] == [0, 1, 2]


async def test_requests_are_cancelled_when_the_window_is_left() -> None:
    cancelled = asyncio.Event()

    async def request() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(ZeroDivisionError):
        async with RequestWindow[None](1) as window:
            window.start(request())
            await asyncio.sleep(0)
            raise ZeroDivisionError
    assert cancelled.is_set()


FULL, LOGIN, OTHER = (
    Fault("full", "Free some space."),
    Fault("login", "Log in.", report_as=Step.CONNECT),
    Fault("x", ""),
)
RULES = (
    Rule(status="4..", text="no space", fault=FULL),
    Rule(status="530", subject="PASS", step=Step.AUTHENTICATE, fault=LOGIN),
    Rule(fault=OTHER),
)


@pytest.mark.parametrize(
    ("step", "status", "subject", "text", "fault"),
    [
        (Step.WRITE, "452", "STOR", "There is No Space left", FULL),
        (Step.WRITE, "1452", "STOR", "no space", OTHER),
        (Step.AUTHENTICATE, "530", "PASS", "", LOGIN),
        (Step.WRITE, "530", "PASS", "", OTHER),
        (Step.AUTHENTICATE, "530", "PASSWORD", "", OTHER),
    ],
)
def test_the_first_rule_that_matches_counts(step: Step, status: str, subject: str, text: str, fault: Fault) -> None:
    assert find_fault(RULES, step, status, subject, text) is fault


def test_a_fault_may_belong_to_another_step_than_the_one_that_failed() -> None:
    assert (LOGIN.error(Step.WRITE).step, FULL.error(Step.WRITE).step) == (Step.CONNECT, Step.WRITE)


def test_egress_errors_are_found_behind_other_exceptions() -> None:
    error = OSError("the request failed")
    error.__cause__ = Forbidden("example.com")
    found = find_egress_error(error)
    assert found is not None
    assert (found.step, found.code, found.transient) == (Step.RESOLVE, "egress_forbidden", False)
    found = find_egress_error(Unresolved("example.com", "no answer"))
    assert found is not None
    assert (found.code, found.transient) == ("unresolved", True)
    assert find_egress_error(OSError("the line is down")) is None


def test_text_of_a_server_is_masked_and_shortened_to_one_line() -> None:
    assert printable("a\r\n\x1b[31mb secret c", "secret") == "a [31mb ******** c"
    assert len(printable("x" * 1000)) == MAX_QUOTE


def test_a_quoted_error_contains_no_socket_address() -> None:
    text = (
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 80, 0, 0), Connect call failed ('10.0.0.5', 80)"
    )
    assert printable(text) == "Multiple exceptions: [Errno 111] Connect call failed, Connect call failed"
    assert printable("The bucket ('shop') has moved") == "The bucket ('shop') has moved"
